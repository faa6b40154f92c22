"""What tests on a stack stand on: a stack, databases and topics of their own, workers, and ways to wait for facts."""
