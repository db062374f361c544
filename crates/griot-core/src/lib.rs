//! The vocabulary of griot: ids, entities, events, envelopes and their codec; pure, no I/O.
