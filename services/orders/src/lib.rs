//! Orders that are never lost: the reference service.
