"""The invariants of Interlock, checked from outside: from what lies in Kafka and PostgreSQL, and nothing else.

    python3 tests/check --help
"""
