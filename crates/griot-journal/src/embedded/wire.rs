//! How a record's body is written: little-endian, lengths and small numbers as LEB128.
//!
//! `FORMAT.md` has every field. The decoder takes any bytes and never panics.

mod cursor;
mod pen;
#[cfg(test)]
mod tests;

pub(crate) use cursor::{Cursor, Skimmed, read_commit, skim};
pub(crate) use pen::{Pen, size};

const CALL: u8 = 1;
const TIMER: u8 = 2;
const MESSAGE: u8 = 3;
const PUBLICATION: u8 = 4;
