//! Comparisons with peers and floors, interleaved in one run.
