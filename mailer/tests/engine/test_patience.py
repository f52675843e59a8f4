"""How long each class of reply is left alone at first."""

import pytest

from mailer.engine.patience import patience_of


@pytest.mark.parametrize(
    ("line", "factor"),
    [
        ("", 1),
        ("451", 1),
        ("451 4.3.0 try later", 1),
        ("452 4.3.1 insufficient system storage", 1),
        ("452 4.5.3 too many recipients", 1),
        ("450 4.7.1 come back later", 1),
        ("451 4.7.1 come back later", 1),
        ("450 4.2.0 Greylisted, see the list", 1),
        ("421 4.7.0 you are graylisted", 1),
        ("421 4.3.2 shutting down", 3),
        ("421", 3),
        ("451 4.7.0 temporary policy", 3),
        ("450 4.7.28 unusual rate of mail", 3),
        ("451 4.7.500 server busy", 3),
        ("454 4.7.1 not for now", 3),
        ("450 4.2.1 receiving mail too quickly", 3),
        ("452 4.2.2 over quota", 12),
        ("552 5.2.2 full", 12),
        ("450 4.2.2 full", 12),
        ("452 4.2.1 over quota", 12),
    ],
)
def test_each_class(line: str, factor: int) -> None:
    code, enhanced, text = (*line.split(" ", 2), "", "", "")[:3]
    assert patience_of(int(code) if code else None, enhanced, text) == factor
