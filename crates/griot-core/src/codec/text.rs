//! How text without anything to escape is written as JSON.
//!
//! `serde_json` looks at a text byte by byte, which takes longer than all else that is done to an
//! event that is mostly text. Here a text is looked at in blocks, which the compiler turns into
//! instructions for many bytes at once; one that has something to escape is left to `serde_json`.

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::ser::{Impossible, Serializer};

/// Appends `value` to `buffer` as a JSON text, if it is one that needs no escapes; else says so.
pub(super) fn write_text<T: Serialize + ?Sized>(value: &T, buffer: &mut BytesMut) -> bool {
    value.serialize(PlainText(buffer)).is_ok()
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether JSON holds the text as it is.
fn is_plain(text: &str) -> bool {
    let (blocks, rest) = text.as_bytes().as_chunks::<32>();
    let plain = |bytes: &[u8]| {
        !bytes
            .iter()
            .fold(false, |any, &byte| any | needs_escape(byte))
    };
    blocks.iter().all(|block| plain(block)) && plain(rest)
}

/// Takes plain text and nothing else.
struct PlainText<'b>(&'b mut BytesMut);

/// It is something else; nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("not plain text")]
struct NotPlain;

impl serde::ser::Error for NotPlain {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

type Neither = Impossible<(), NotPlain>;

impl Serializer for PlainText<'_> {
    type Ok = ();
    type Error = NotPlain;
    type SerializeSeq = Neither;
    type SerializeTuple = Neither;
    type SerializeTupleStruct = Neither;
    type SerializeTupleVariant = Neither;
    type SerializeMap = Neither;
    type SerializeStruct = Neither;
    type SerializeStructVariant = Neither;

    fn serialize_str(self, text: &str) -> Result<(), NotPlain> {
        if !is_plain(text) {
            return Err(NotPlain);
        }
        self.0.reserve(text.len() + 2);
        self.0.put_u8(b'"');
        self.0.put_slice(text.as_bytes());
        self.0.put_u8(b'"');
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        content: &T,
    ) -> Result<(), NotPlain> {
        content.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, content: &T) -> Result<(), NotPlain> {
        content.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotPlain> {
        Err(NotPlain)
    }

    no_other_shape! { Err(NotPlain);
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Neither;
        serialize_tuple(usize) -> Neither;
        serialize_tuple_struct(&'static str, usize) -> Neither;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Neither;
        serialize_map(Option<usize>) -> Neither;
        serialize_struct(&'static str, usize) -> Neither;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Neither;
    }
}
