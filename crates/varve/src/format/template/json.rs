//! JSON as Go writes it.

use std::fmt::Write as _;

use super::{quote::is_hidden, value::Value};
use crate::format::time;

/// How JSON is laid out and escaped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// Spaces of one level; 0 puts everything on one line.
    pub(crate) indent: usize,
    /// Whether `<`, `>` and `&` are written as escapes, which Go does unless told not to.
    pub(crate) escape_html: bool,
}

/// One line; `<`, `>` and `&` as they are.
pub(crate) const PLAIN: Style = Style { indent: 0, escape_html: false };
/// One line; safe inside HTML.
pub(crate) const HTML: Style = Style { indent: 0, escape_html: true };

/// Writes a value as JSON.
pub(crate) fn write(value: &Value, style: Style) -> String {
    let mut writer = Writer { style, out: String::new(), level: 0 };
    writer.value(value);
    writer.out
}

struct Writer {
    style: Style,
    out: String,
    level: usize,
}

impl Writer {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Missing | Value::Nil => self.out.push_str("null"),
            Value::Bool(on) => {
                let _ = write!(self.out, "{on}");
            }
            Value::Int(number) => {
                let _ = write!(self.out, "{number}");
            }
            Value::Float(number) => {
                let _ = write!(self.out, "{number}");
            }
            Value::Text(text) => self.text(&text.text),
            Value::Time(time) => self.text(&time::rfc3339_nano(*time)),
            Value::List(list) if list.nil => self.out.push_str("null"),
            Value::List(list) => self.block('[', ']', &list.items, Self::value),
            Value::Map(map) if map.nil => self.out.push_str("null"),
            Value::Map(map) => {
                let entries: Vec<_> = map.entries.iter().collect();
                self.block('{', '}', &entries, |writer, (name, value)| writer.member(name, value));
            }
            Value::Struct(structure) => {
                let fields = structure.fields.iter();
                let fields: Vec<_> = fields
                    .filter_map(|field| Some((field.json.as_deref()?, &field.value)))
                    .collect();
                self.block('{', '}', &fields, |writer, (name, value)| writer.member(name, value));
            }
            Value::Row(row) => {
                // Go's rows marshal themselves, always safe inside HTML.
                let outer = std::mem::replace(&mut self.style.escape_html, true);
                let fields: Vec<_> = row
                    .names()
                    .iter()
                    .filter_map(|name| Some((*name, row.json_field(name)?)))
                    .collect();
                self.block('{', '}', &fields, |writer, (name, value)| writer.member(name, value));
                self.style.escape_html = outer;
            }
        }
    }

    fn member(&mut self, name: &str, value: &Value) {
        self.text(name);
        self.out.push(':');
        if self.style.indent > 0 {
            self.out.push(' ');
        }
        self.value(value);
    }

    fn block<T>(&mut self, open: char, close: char, items: &[T], one: impl Fn(&mut Self, &T)) {
        self.out.push(open);
        self.level += 1;
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.out.push(',');
            }
            self.new_line();
            one(self, item);
        }
        self.level -= 1;
        if !items.is_empty() {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        if self.style.indent > 0 {
            self.out.push('\n');
            let spaces = self.level * self.style.indent;
            self.out.extend(std::iter::repeat_n(' ', spaces));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                '<' | '>' | '&' if !self.style.escape_html => self.out.push(c),
                // Beyond what Go escapes: characters that could drive the terminal.
                c if (c as u32) < 0x20
                    || matches!(c, '<' | '>' | '&' | '\u{7f}')
                    || is_hidden(c) =>
                {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}
