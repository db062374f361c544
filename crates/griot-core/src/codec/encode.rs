//! A serde serializer that takes an enum apart into its variant's name and its content as JSON.
//!
//! The content is written by `serde_json` itself; this serializer only looks at the outermost
//! value: a struct variant is written as a struct, a newtype variant as its content, and so on.

use bytes::buf::Writer;
use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde::ser::{
    Error as _, Impossible, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleVariant, Serializer,
};
use serde_json::Error;

type Json<'b> = serde_json::Serializer<Writer<&'b mut BytesMut>>;
type StructFields<'a, 'b> = <&'a mut Json<'b> as Serializer>::SerializeStruct;
type TupleFields<'a, 'b> = <&'a mut Json<'b> as Serializer>::SerializeTuple;
type Neither = Impossible<&'static str, Error>;

/// Appends the content of `event` to `buffer` and returns its name.
pub(super) fn tagged<T: Serialize>(
    event: &T,
    buffer: &mut BytesMut,
) -> Result<&'static str, Error> {
    event.serialize(Tagged(&mut Json::new(buffer.writer())))
}

struct Tagged<'a, 'b>(&'a mut Json<'b>);

/// The fields of the outermost value, and the name to give back when they end.
struct Named<F> {
    name: &'static str,
    fields: F,
}

fn neither<T>() -> Result<T, Error> {
    Err(Error::custom("an event is an enum or a struct"))
}

impl<'a, 'b> Serializer for Tagged<'a, 'b> {
    type Ok = &'static str;
    type Error = Error;
    type SerializeSeq = Neither;
    type SerializeTuple = Neither;
    type SerializeTupleStruct = Neither;
    type SerializeTupleVariant = Named<TupleFields<'a, 'b>>;
    type SerializeMap = Neither;
    type SerializeStruct = Named<StructFields<'a, 'b>>;
    type SerializeStructVariant = Named<StructFields<'a, 'b>>;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<&'static str, Error> {
        self.0.serialize_unit()?;
        Ok(variant)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        content: &T,
    ) -> Result<&'static str, Error> {
        content.serialize(self.0)?;
        Ok(variant)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        let fields = self.0.serialize_tuple(length)?;
        Ok(Named { name, fields })
    }

    fn serialize_struct_variant(
        self,
        of: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        let fields = self.0.serialize_struct(of, length)?;
        Ok(Named { name, fields })
    }

    fn serialize_struct(
        self,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStruct, Error> {
        let fields = self.0.serialize_struct(name, length)?;
        Ok(Named { name, fields })
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<&'static str, Error> {
        self.0.serialize_unit()?;
        Ok(name)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        content: &T,
    ) -> Result<&'static str, Error> {
        content.serialize(self.0)?;
        Ok(name)
    }

    fn serialize_bool(self, _: bool) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_i8(self, _: i8) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_i16(self, _: i16) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_i32(self, _: i32) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_i64(self, _: i64) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_u8(self, _: u8) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_u16(self, _: u16) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_u32(self, _: u32) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_u64(self, _: u64) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_f32(self, _: f32) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_f64(self, _: f64) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_char(self, _: char) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_str(self, _: &str) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_none(self) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_unit(self) -> Result<&'static str, Error> {
        neither()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Neither, Error> {
        neither()
    }
    fn serialize_tuple(self, _: usize) -> Result<Neither, Error> {
        neither()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Neither, Error> {
        neither()
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Neither, Error> {
        neither()
    }
}

impl SerializeTupleVariant for Named<TupleFields<'_, '_>> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &T) -> Result<(), Error> {
        SerializeTuple::serialize_element(&mut self.fields, field)
    }

    fn end(self) -> Result<&'static str, Error> {
        SerializeTuple::end(self.fields)?;
        Ok(self.name)
    }
}

impl SerializeStructVariant for Named<StructFields<'_, '_>> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        field: &T,
    ) -> Result<(), Error> {
        SerializeStruct::serialize_field(&mut self.fields, key, field)
    }

    fn end(self) -> Result<&'static str, Error> {
        SerializeStruct::end(self.fields)?;
        Ok(self.name)
    }
}

impl SerializeStruct for Named<StructFields<'_, '_>> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        field: &T,
    ) -> Result<(), Error> {
        SerializeStruct::serialize_field(&mut self.fields, key, field)
    }

    fn end(self) -> Result<&'static str, Error> {
        SerializeStruct::end(self.fields)?;
        Ok(self.name)
    }
}
