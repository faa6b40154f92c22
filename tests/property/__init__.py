"""Random sequences of commands on the real path, compared with a model of workflows/DOMAIN.md."""
