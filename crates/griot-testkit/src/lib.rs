//! Conformance suites and probes for journals, entities and actors.
