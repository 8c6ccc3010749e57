//! Finds a number that JSON cannot hold. `serde_json` writes `null` for NaN and infinity, and a record with it is never read
//! back: such a record is refused before it is written.

use serde::ser::{self, Serialize};
use std::fmt::Display;

/// # Errors
/// Where in `value` a number is not finite, e.g. `state.month.peak`.
pub fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), String> {
    let mut walk = Walk { path: Vec::new() };
    value
        .serialize(&mut walk)
        .map_err(|e| format!("{}: {}", walk.path.join("."), e.0))
}

/// Names of the fields around the value at hand; left as they are when a value is refused.
struct Walk {
    path: Vec<&'static str>,
}

#[derive(Debug)]
struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Refused {}
impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Walk {
    fn inside<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
        self.path.push(name);
        value.serialize(&mut *self)?;
        self.path.pop();
        Ok(())
    }
    fn float(&self, v: f64) -> Result<(), Refused> {
        if v.is_finite() {
            Ok(())
        } else {
            Err(Refused(format!("{v} is not a number that can be kept")))
        }
    }
}

macro_rules! plain {
    ($($name:ident($type:ty)),*) => { $(fn $name(self, _: $type) -> Result<(), Refused> { Ok(()) })* };
}

impl ser::Serializer for &mut Walk {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    plain!(
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64)
    );
    plain!(
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_char(char)
    );
    plain!(
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_struct(&'static str)
    );

    fn serialize_f32(self, v: f32) -> Result<(), Refused> {
        self.float(f64::from(v))
    }
    fn serialize_f64(self, v: f64) -> Result<(), Refused> {
        self.float(v)
    }
    fn serialize_none(self) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_unit(self) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Result<(), Refused> {
        v.serialize(self)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Refused> {
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, v: &T) -> Result<(), Refused> {
        v.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        v: &T,
    ) -> Result<(), Refused> {
        self.inside(variant, v)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Refused> {
        Ok(self)
    }
}

macro_rules! elements {
    ($($part:ident::$name:ident),*) => { $(impl ser::$part for &mut Walk {
        type Ok = ();
        type Error = Refused;
        fn $name<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> { v.serialize(&mut **self) }
        fn end(self) -> Result<(), Refused> { Ok(()) }
    })* };
}
elements!(
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);

macro_rules! fields {
    ($($part:ident),*) => { $(impl ser::$part for &mut Walk {
        type Ok = ();
        type Error = Refused;
        fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, v: &T) -> Result<(), Refused> {
            self.inside(name, v)
        }
        fn end(self) -> Result<(), Refused> { Ok(()) }
    })* };
}
fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for &mut Walk {
    type Ok = ();
    type Error = Refused;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, v: &T) -> Result<(), Refused> {
        v.serialize(&mut **self)
    }
    fn end(self) -> Result<(), Refused> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Inner {
        value: Option<f64>,
    }
    #[derive(Serialize)]
    struct Outer {
        name: &'static str,
        by_name: BTreeMap<&'static str, Vec<Inner>>,
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_found_wherever_it_stands() {
        for (value, good) in [
            (None, true),
            (Some(0.5), true),
            (Some(f64::NAN), false),
            (Some(f64::INFINITY), false),
        ] {
            let by_name = BTreeMap::from([("a", vec![Inner { value: Some(1.0) }, Inner { value }])]);
            let outer = Outer { name: "x", by_name };
            let found = check(&outer);
            assert_eq!(found.is_ok(), good, "{} {value:?}: {found:?}", outer.name);
            assert!(good || found.unwrap_err().starts_with("by_name.value: "));
        }
    }
}
