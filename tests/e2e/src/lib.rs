//! The suites stand in `tests/`; what they share with nobody else has no home here yet.
