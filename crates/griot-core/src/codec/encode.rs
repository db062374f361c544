//! A serde serializer that takes an enum apart into its variant's name and its content as JSON.
//!
//! The content is written by `serde_json` itself; this serializer only looks at the outermost
//! value: a struct variant is written as a struct, a newtype variant as its content, and so on. Of
//! the fields of a struct, [`text`](super::text) writes those that are plain text.

use bytes::buf::Writer;
use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeStruct, SerializeStructVariant, SerializeTupleVariant,
    Serializer,
};
use serde_json::Error;

use super::text::write_text;

type Json<'b> = serde_json::Serializer<Writer<&'b mut BytesMut>>;
type Neither = Impossible<&'static str, Error>;

/// Appends the content of `event` to `buffer` and returns its name.
pub(super) fn tagged<T: Serialize>(
    event: &T,
    buffer: &mut BytesMut,
) -> Result<&'static str, Error> {
    event.serialize(Tagged(buffer))
}

struct Tagged<'b>(&'b mut BytesMut);

/// The fields of the outermost value, and the name to give back when they end.
struct Fields<'b> {
    name: &'static str,
    buffer: &'b mut BytesMut,
    /// What is written before the next one.
    before: u8,
    end: u8,
}

impl<'b> Fields<'b> {
    fn of_struct(name: &'static str, buffer: &'b mut BytesMut) -> Self {
        Self {
            name,
            buffer,
            before: b'{',
            end: b'}',
        }
    }

    fn of_tuple(name: &'static str, buffer: &'b mut BytesMut) -> Self {
        Self {
            name,
            buffer,
            before: b'[',
            end: b']',
        }
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if write_text(value, self.buffer) {
            return Ok(());
        }
        value.serialize(&mut json(self.buffer))
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.buffer
            .put_u8(std::mem::replace(&mut self.before, b','));
        self.value(value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.element(key)?;
        self.buffer.put_u8(b':');
        self.value(value)
    }

    fn finish(self) -> &'static str {
        if self.before != b',' {
            self.buffer.put_u8(self.before);
        }
        self.buffer.put_u8(self.end);
        self.name
    }
}

fn json(buffer: &mut BytesMut) -> Json<'_> {
    Json::new(buffer.writer())
}

fn neither<T>() -> Result<T, Error> {
    Err(Error::custom("an event is an enum or a struct"))
}

impl<'b> Serializer for Tagged<'b> {
    type Ok = &'static str;
    type Error = Error;
    type SerializeSeq = Neither;
    type SerializeTuple = Neither;
    type SerializeTupleStruct = Neither;
    type SerializeTupleVariant = Fields<'b>;
    type SerializeMap = Neither;
    type SerializeStruct = Fields<'b>;
    type SerializeStructVariant = Fields<'b>;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<&'static str, Error> {
        json(self.0).serialize_unit()?;
        Ok(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        content: &T,
    ) -> Result<&'static str, Error> {
        content.serialize(&mut json(self.0))?;
        Ok(variant)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Ok(Fields::of_tuple(name, self.0))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Ok(Fields::of_struct(name, self.0))
    }

    fn serialize_struct(
        self,
        name: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStruct, Error> {
        Ok(Fields::of_struct(name, self.0))
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<&'static str, Error> {
        json(self.0).serialize_unit()?;
        Ok(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        content: &T,
    ) -> Result<&'static str, Error> {
        content.serialize(&mut json(self.0))?;
        Ok(name)
    }
    no_other_shape! { neither();
        serialize_bool(bool) -> &'static str;
        serialize_i8(i8) -> &'static str;
        serialize_i16(i16) -> &'static str;
        serialize_i32(i32) -> &'static str;
        serialize_i64(i64) -> &'static str;
        serialize_u8(u8) -> &'static str;
        serialize_u16(u16) -> &'static str;
        serialize_u32(u32) -> &'static str;
        serialize_u64(u64) -> &'static str;
        serialize_f32(f32) -> &'static str;
        serialize_f64(f64) -> &'static str;
        serialize_char(char) -> &'static str;
        serialize_str(&str) -> &'static str;
        serialize_bytes(&[u8]) -> &'static str;
        serialize_none() -> &'static str;
        serialize_unit() -> &'static str;
        serialize_seq(Option<usize>) -> Neither;
        serialize_tuple(usize) -> Neither;
        serialize_tuple_struct(&'static str, usize) -> Neither;
        serialize_map(Option<usize>) -> Neither;
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<&'static str, Error> {
        neither()
    }
}

impl SerializeTupleVariant for Fields<'_> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &T) -> Result<(), Error> {
        self.element(field)
    }

    fn end(self) -> Result<&'static str, Error> {
        Ok(self.finish())
    }
}

impl SerializeStructVariant for Fields<'_> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        field: &T,
    ) -> Result<(), Error> {
        self.field(key, field)
    }

    fn end(self) -> Result<&'static str, Error> {
        Ok(self.finish())
    }
}

impl SerializeStruct for Fields<'_> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        field: &T,
    ) -> Result<(), Error> {
        self.field(key, field)
    }

    fn end(self) -> Result<&'static str, Error> {
        Ok(self.finish())
    }
}
