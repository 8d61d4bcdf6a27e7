//! The functions that templates may call: Go's own and Docker's.

use std::{cmp::Ordering, fmt::Write as _};

use super::{
    json,
    print::{self, Escape},
    value::{Text, Value},
};

/// The functions of which a command may be made. `and` and `or` are the evaluator's business,
/// because they do not look at all arguments.
const NAMES: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "join", "js", "json", "le", "len", "lower",
    "lt", "ne", "not", "or", "pad", "print", "printf", "println", "slice", "split", "title",
    "truncate", "upper", "urlquery",
];

/// Whether there is such a function.
pub(crate) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a function is not applied to the header of a column.
pub(crate) fn leaves_headers_alone(name: &str) -> bool {
    matches!(name, "json" | "title" | "lower" | "upper" | "truncate" | "split" | "join")
}

/// The number of arguments that a function takes: least and most.
fn arity(name: &str) -> (usize, usize) {
    match name {
        "json" | "len" | "lower" | "not" | "title" | "upper" => (1, 1),
        "join" | "split" | "truncate" | "ge" | "gt" | "le" | "lt" | "ne" => (2, 2),
        "pad" => (3, 3),
        "call" | "index" | "printf" | "slice" | "eq" | "and" | "or" => (1, usize::MAX),
        _ => (0, usize::MAX),
    }
}

/// What went wrong in a call.
pub(crate) enum Fault {
    /// The number or types of the arguments do not fit; the text stands alone.
    Arguments(String),
    /// The function itself failed: `error calling NAME: ` goes in front.
    Call(String),
}

/// Calls a function.
pub(crate) fn call(name: &str, arguments: &[Value], escape: Escape) -> Result<Value, Fault> {
    let (min, max) = arity(name);
    if arguments.len() < min || arguments.len() > max {
        let wanted = if max == usize::MAX { format!("at least {min}") } else { min.to_string() };
        return Err(Fault::Arguments(format!(
            "wrong number of args for {name}: want {wanted} got {}",
            arguments.len()
        )));
    }
    let text = |place: usize| wanted_text(&arguments[place]);
    let number = |place: usize| wanted_number(&arguments[place]);
    Ok(match name {
        "json" => Value::text(json::write(&arguments[0], json::PLAIN)),
        "upper" => text(0)?.map(str::to_uppercase),
        "lower" => text(0)?.map(str::to_lowercase),
        "title" => text(0)?.map(title),
        "pad" => {
            let (before, after) = (number(1)?, number(2)?);
            text(0)?.map(|text| match text {
                "" => String::new(),
                text => format!("{}{text}{}", spaces(before), spaces(after)),
            })
        }
        "truncate" => {
            let length = usize::try_from(number(1)?)
                .map_err(|_| Fault::Call("slice bounds out of range".to_owned()))?;
            text(0)?.map(|text| truncate(text, length).to_owned())
        }
        "split" => {
            let (text, separator) = (text(0)?, text(1)?);
            split(text, &separator.text)
        }
        "join" => join(&arguments[0], &text(1)?.text, escape)?,
        "len" => Value::Int(length(&arguments[0])? as i64),
        "not" => Value::Bool(!arguments[0].is_true()),
        "print" => Value::text(print_all(arguments, escape)),
        "println" => {
            let all: Vec<_> = arguments.iter().map(|value| print::plain(value, escape)).collect();
            Value::text(all.join(" ") + "\n")
        }
        "printf" => Value::text(print::formatted(&text(0)?.text, &arguments[1..], escape)),
        "html" => Value::text(html(&print_all(arguments, escape))),
        "js" => Value::text(js(&print_all(arguments, escape))),
        "urlquery" => Value::text(url_query(&print_all(arguments, escape))),
        "index" => index(arguments)?,
        "slice" => slice(arguments)?,
        "eq" => Value::Bool(equal_to_any(arguments)?),
        "ne" => Value::Bool(!equal(&arguments[0], &arguments[1])?),
        "lt" => Value::Bool(order(&arguments[0], &arguments[1])? == Ordering::Less),
        "le" => Value::Bool(order(&arguments[0], &arguments[1])? != Ordering::Greater),
        "gt" => Value::Bool(order(&arguments[0], &arguments[1])? == Ordering::Greater),
        "ge" => Value::Bool(order(&arguments[0], &arguments[1])? != Ordering::Less),
        _ => {
            let kind = arguments.first().map_or("nil", Value::go_type);
            return Err(Fault::Call(format!("non-function of type {kind}")));
        }
    })
}

impl Text {
    /// The same text, changed; it stays foreign.
    fn map(&self, change: impl Fn(&str) -> String) -> Value {
        Value::Text(Text { text: change(&self.text).into(), foreign: self.foreign })
    }
}

fn wanted_text(value: &Value) -> Result<&Text, Fault> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(wrong_type("string", other)),
    }
}

fn wanted_number(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Int(number) => Ok(*number),
        other => Err(wrong_type("int", other)),
    }
}

fn wrong_type(wanted: &str, got: &Value) -> Fault {
    Fault::Arguments(match got {
        Value::Missing | Value::Nil => format!("invalid value; expected {wanted}"),
        got => format!("wrong type for value; expected {wanted}; got {}", got.go_type()),
    })
}

fn spaces(count: i64) -> String {
    " ".repeat(usize::try_from(count).unwrap_or(0).min(10_000))
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}

fn truncate(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn split(text: &Text, separator: &str) -> Value {
    let piece = |piece: &str| Value::Text(Text { text: piece.into(), foreign: text.foreign });
    if separator.is_empty() {
        return Value::list(text.text.chars().map(|c| piece(c.encode_utf8(&mut [0; 4]))).collect());
    }
    Value::list(text.text.split(separator).map(piece).collect())
}

fn join(value: &Value, separator: &str, escape: Escape) -> Result<Value, Fault> {
    match value {
        Value::List(list) => {
            let items: Vec<_> = list.items.iter().map(|item| print::plain(item, escape)).collect();
            Ok(Value::text(items.join(separator)))
        }
        other => Err(wrong_type("[]string", other)),
    }
}

fn length(value: &Value) -> Result<usize, Fault> {
    match value {
        Value::Text(text) => Ok(text.text.len()),
        Value::List(list) => Ok(list.items.len()),
        Value::Map(map) => Ok(map.entries.len()),
        Value::Missing | Value::Nil => Err(Fault::Call("len of nil pointer".to_owned())),
        other => Err(Fault::Call(format!("len of type {}", other.go_type()))),
    }
}

/// Puts a space between two values of which neither is a text.
fn print_all(values: &[Value], escape: Escape) -> String {
    let mut out = String::new();
    let mut after_text = true;
    for value in values {
        let is_text = matches!(value, Value::Text(_));
        if !after_text && !is_text {
            out.push(' ');
        }
        out.push_str(&print::plain(value, escape));
        after_text = is_text;
    }
    out
}

fn index(arguments: &[Value]) -> Result<Value, Fault> {
    let mut value = arguments[0].clone();
    for key in &arguments[1..] {
        value = match (&value, key) {
            (Value::List(list), Value::Int(place)) => {
                let item = usize::try_from(*place).ok().and_then(|place| list.items.get(place));
                item.cloned().ok_or_else(|| out_of_range(*place))?
            }
            (Value::Text(text), Value::Int(place)) => {
                let byte =
                    usize::try_from(*place).ok().and_then(|place| text.text.bytes().nth(place));
                Value::Int(i64::from(byte.ok_or_else(|| out_of_range(*place))?))
            }
            (Value::Map(map), Value::Text(name)) => {
                map.entries.get(&*name.text).cloned().unwrap_or_else(|| map.zero.clone())
            }
            (Value::Missing | Value::Nil, _) => {
                return Err(Fault::Call("index of untyped nil".to_owned()));
            }
            (Value::List(_) | Value::Text(_), Value::Missing | Value::Nil) => {
                return Err(Fault::Call("cannot index slice/array with nil".to_owned()));
            }
            (Value::List(_) | Value::Text(_), key) => {
                let text = format!("cannot index slice/array with type {}", key.go_type());
                return Err(Fault::Call(text));
            }
            (Value::Map(_), key) => {
                let text = format!("value has type {}; should be string", key.go_type());
                return Err(Fault::Call(text));
            }
            (other, _) => {
                let text = format!("can't index item of type {}", other.go_type());
                return Err(Fault::Call(text));
            }
        };
    }
    Ok(value)
}

fn out_of_range(place: i64) -> Fault {
    Fault::Call(format!("index out of range: {place}"))
}

fn slice(arguments: &[Value]) -> Result<Value, Fault> {
    if arguments.len() > 4 {
        let text = format!("too many slice indexes: {}", arguments.len() - 1);
        return Err(Fault::Call(text));
    }
    let size = match &arguments[0] {
        Value::Text(_) if arguments.len() == 4 => {
            return Err(Fault::Call("cannot 3-index slice a string".to_owned()));
        }
        Value::Text(_) | Value::List(_) => length(&arguments[0])?,
        Value::Missing | Value::Nil => {
            return Err(Fault::Call("slice of untyped nil".to_owned()));
        }
        other => return Err(Fault::Call(format!("can't slice item of type {}", other.go_type()))),
    };
    let bound = |place: usize, default: usize| match arguments.get(place) {
        None => Ok(default),
        Some(value) => {
            let number = wanted_number(value)?;
            usize::try_from(number)
                .ok()
                .filter(|&bound| bound <= size)
                .ok_or_else(|| out_of_range(number))
        }
    };
    let (start, end) = (bound(1, 0)?, bound(2, size)?);
    bound(3, size)?;
    if start > end {
        return Err(Fault::Call(format!("invalid slice index: {start} > {end}")));
    }
    Ok(match &arguments[0] {
        Value::Text(text) => {
            text.map(|text| String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned())
        }
        Value::List(list) => Value::list(list.items[start..end].to_vec()),
        other => other.clone(),
    })
}

fn equal_to_any(arguments: &[Value]) -> Result<bool, Fault> {
    if arguments.len() == 1 {
        return Err(Fault::Call("missing argument for comparison".to_owned()));
    }
    for other in &arguments[1..] {
        if equal(&arguments[0], other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal(one: &Value, other: &Value) -> Result<bool, Fault> {
    match (one, other) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b) == Ordering::Equal),
        (Value::Text(a), Value::Text(b)) => Ok(a.text == b.text),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => Ok(true),
        (Value::Missing | Value::Nil, _) | (_, Value::Missing | Value::Nil) => Ok(false),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            Err(Fault::Call("non-comparable types for comparison".to_owned()))
        }
        _ => Err(Fault::Call("incompatible types for comparison".to_owned())),
    }
}

fn order(one: &Value, other: &Value) -> Result<Ordering, Fault> {
    match (one, other) {
        (Value::Int(a), Value::Int(b)) => Ok(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => Ok(a.total_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(a.text.cmp(&b.text)),
        (
            Value::Int(_) | Value::Float(_) | Value::Text(_),
            Value::Int(_) | Value::Float(_) | Value::Text(_),
        ) => Err(Fault::Call("incompatible types for comparison".to_owned())),
        _ => Err(Fault::Call("invalid type for comparison".to_owned())),
    }
}

fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

fn js(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            c if (c as u32) < 0x20 || matches!(c, '<' | '>' | '&' | '=') => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

fn url_query(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(b as char);
            }
            b' ' => out.push('+'),
            b => {
                let _ = write!(out, "%{b:02X}");
            }
        }
    }
    out
}
