//! The shape of JSON values: which fields there are, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use serde_json::Value;

/// What several values have in common. Shown as `{id: string, note?: null | string, items: [integer]}`.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    scalars: BTreeSet<&'static str>,
    items: Option<Box<Shape>>,
    fields: Option<Fields>,
}

#[derive(Debug, Default)]
struct Fields {
    objects: usize,
    /// Each with the number of objects that have it.
    by_name: BTreeMap<String, (usize, Shape)>,
}

impl Shape {
    /// The shape of all of these.
    pub(crate) fn of<'v>(values: impl IntoIterator<Item = &'v Value>) -> Self {
        let mut shape = Self::default();
        for value in values {
            shape.take_in(value);
        }
        shape
    }

    fn take_in(&mut self, value: &Value) {
        let scalar = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(items) => {
                let shape = self.items.get_or_insert_default();
                for item in items {
                    shape.take_in(item);
                }
                return;
            }
            Value::Object(object) => {
                let fields = self.fields.get_or_insert_default();
                fields.objects += 1;
                for (name, value) in object {
                    let (count, shape) = fields.by_name.entry(name.clone()).or_default();
                    *count += 1;
                    shape.take_in(value);
                }
                return;
            }
        };
        self.scalars.insert(scalar);
    }
}

impl Display for Shape {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let scalars = self.scalars.iter().map(|scalar| (*scalar).to_owned());
        let items = self.items.iter().map(|items| format!("[{items}]"));
        let fields = self.fields.iter().map(ToString::to_string);
        let ways: Vec<String> = scalars.chain(items).chain(fields).collect();
        formatter.write_str(&ways.join(" | "))
    }
}

impl Display for Fields {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let field = |(name, (count, shape)): (&String, &(usize, Shape))| {
            let mark = if *count < self.objects { "?" } else { "" };
            format!("{name}{mark}: {shape}")
        };
        let fields: Vec<String> = self.by_name.iter().map(field).collect();
        write!(formatter, "{{{}}}", fields.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_shape_says_which_fields_there_are_and_what_may_be_in_them() {
        let values = [
            json!({ "id": "a", "qty": 1, "note": null, "items": [], "to": { "tell": [1, "x"] } }),
            json!({ "id": "b", "qty": 1.5, "note": "n", "items": [{ "up": true }], "to": "all" }),
            json!({ "id": "c", "qty": 2, "items": [{}], "to": "all" }),
        ];
        let shape = "{id: string, items: [{up?: boolean}], note?: null | string, qty: integer | number, \
                     to: string | {tell: [integer | string]}}";
        assert_eq!(Shape::of(&values).to_string(), shape);
    }
}
