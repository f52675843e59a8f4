"""What README.md shows is there."""

import ast
import re
from pathlib import Path

import admin_ext
from admin_ext.components.list_actions import confirmed_action
from admin_ext.components.object_actions import ObjectAction, ObjectActionsMixin
from admin_ext.components.paginator import BigTableMixin
from admin_ext.templatetags.admin_ext import register

README = (Path(admin_ext.__file__).parent / "README.md").read_text()


def test_its_python_is_python() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        ast.parse(block)


def test_its_names_exist() -> None:
    for named in (confirmed_action, ObjectAction, ObjectActionsMixin, BigTableMixin):
        assert named.__name__ in README
    for tag in re.findall(r"{% (\w+) ", README.partition("In templates:")[2].partition("\n\n")[0]):
        assert tag in {*register.tags, "load"}
