"""The base of tests on a stack: a stack, databases and topics of their own, workers, and ways to wait for facts."""
