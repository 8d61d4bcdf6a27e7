//! What templates work on: values as Go has them.

use std::{borrow::Cow, collections::BTreeMap, fmt, rc::Rc};

use jiff::Timestamp;

/// A value. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// There is nothing: a map has not got the key, or the JSON is `null`.
    Missing,
    /// A nil pointer in a typed value.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Text),
    List(Rc<List>),
    Map(Rc<Map>),
    Struct(Rc<Struct>),
    Row(Rc<dyn Row>),
    Time(Timestamp),
}

/// A text, and whether it came from outside: such a text is escaped where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) text: Rc<str>,
    pub(crate) foreign: bool,
}

/// A Go slice.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Value>,
    /// Printed as `null` in JSON.
    pub(crate) nil: bool,
}

/// A Go map from strings.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) entries: BTreeMap<String, Value>,
    /// Printed as `null` in JSON.
    pub(crate) nil: bool,
    /// What `index` gives for a key that is not there.
    pub(crate) zero: Value,
}

/// A Go struct.
#[derive(Debug)]
pub(crate) struct Struct {
    /// Go's name of the type, for error texts.
    pub(crate) go_type: &'static str,
    pub(crate) fields: Vec<Field>,
}

/// A member of a Go struct.
#[derive(Debug)]
pub(crate) struct Field {
    /// The name in templates.
    pub(crate) name: Cow<'static, str>,
    /// The name in JSON; `None` when it is left out there, as an empty `omitempty` member is.
    pub(crate) json: Option<Cow<'static, str>>,
    pub(crate) value: Value,
}

/// A row of a listing, whose fields are computed only when they are asked for.
pub(crate) trait Row: fmt::Debug {
    /// Go's name of the type, for error texts.
    fn go_type(&self) -> &'static str;
    /// The names of all fields, sorted.
    fn names(&self) -> &'static [&'static str];
    /// The value of a field; `None` when there is no such field.
    fn field(&self, name: &str) -> Option<Value>;
    /// The value of a field in JSON, where it is another one.
    fn json_field(&self, name: &str) -> Option<Value> {
        self.field(name)
    }
    /// The value of a label, empty when it has not got it; `None` where rows have no labels.
    fn label(&self, _name: &str) -> Option<Value> {
        None
    }
}

impl Value {
    /// A text that came from outside.
    pub(crate) fn foreign(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text { text: text.into(), foreign: true })
    }

    /// A text of our own.
    pub(crate) fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(Text { text: text.into(), foreign: false })
    }

    /// A list.
    pub(crate) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(List { items, nil: false }))
    }

    /// A list that may be nil.
    pub(crate) fn list_or_nil(items: Option<Vec<Value>>) -> Self {
        Self::List(Rc::new(List { nil: items.is_none(), items: items.unwrap_or_default() }))
    }

    /// A map that may be nil, with the value that Go gives for keys that are not there.
    pub(crate) fn map_or_nil(entries: Option<BTreeMap<String, Value>>, zero: Value) -> Self {
        Self::Map(Rc::new(Map {
            nil: entries.is_none(),
            entries: entries.unwrap_or_default(),
            zero,
        }))
    }

    /// A map whose values may be anything.
    pub(crate) fn any_map(entries: BTreeMap<String, Value>) -> Self {
        Self::map_or_nil(Some(entries), Value::Missing)
    }

    /// A struct.
    pub(crate) fn structure(go_type: &'static str, fields: Vec<Field>) -> Self {
        Self::Struct(Rc::new(Struct { go_type, fields }))
    }

    /// Whether `if` takes it for true: anything but zero and empty.
    pub(crate) fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(on) => *on,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.text.is_empty(),
            Self::List(list) => !list.items.is_empty(),
            Self::Map(map) => !map.entries.is_empty(),
            Self::Struct(_) | Self::Row(_) | Self::Time(_) => true,
        }
    }

    /// Go's name of the type.
    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(list) => match list.items.first() {
                Some(Self::Text(_)) | None => "[]string",
                Some(_) => "[]interface {}",
            },
            Self::Map(map) => match map.zero {
                Self::Text(_) => "map[string]string",
                Self::Struct(_) => "map[string]struct {}",
                _ => "map[string]interface {}",
            },
            Self::Struct(structure) => structure.go_type,
            Self::Row(row) => row.go_type(),
            Self::Time(_) => "time.Time",
        }
    }
}

impl Field {
    /// A member that JSON shows under another name.
    pub(crate) fn new(name: &'static str, json: &'static str, value: Value) -> Self {
        Self { name: name.into(), json: Some(json.into()), value }
    }

    /// A member that JSON shows under the same name.
    pub(crate) fn plain(name: &'static str, value: Value) -> Self {
        Self::new(name, name, value)
    }

    /// A member that JSON leaves out when it is empty.
    pub(crate) fn omit_empty(name: &'static str, json: &'static str, value: Value) -> Self {
        Self { name: name.into(), json: value.is_true().then_some(json.into()), value }
    }
}
