"""Settings by place: local, test, production. The environment is read only here."""
