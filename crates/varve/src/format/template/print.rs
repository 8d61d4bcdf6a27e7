//! How Go prints values: `%v` and its siblings.

use std::fmt::Write as _;

use varve_types::Printable;

use super::{
    quote::go_quoted,
    value::{Text, Value},
};
use crate::format::time;

/// What happens to characters in foreign texts that a terminal would obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Line breaks and tabs pass: the text stands by itself.
    Lines,
    /// Nothing passes: the text stands in the cell of a table.
    Cell,
}

/// A text as it is shown.
pub(crate) fn shown(text: &Text, escape: Escape) -> String {
    if !text.foreign {
        return text.text.to_string();
    }
    match escape {
        Escape::Cell => Printable(&text.text).to_string(),
        Escape::Lines => lines(&text.text),
    }
}

/// A text with all that a terminal would obey escaped, apart from line breaks and tabs.
pub(crate) fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(['\n', '\t']) {
        let body = piece.trim_end_matches(['\n', '\t']);
        let _ = write!(out, "{}{}", Printable(body), &piece[body.len()..]);
    }
    out
}

/// `%v`
pub(crate) fn plain(value: &Value, escape: Escape) -> String {
    let mut out = String::new();
    write(&mut out, value, escape, Form { names: false });
    out
}

/// `%+v`
pub(crate) fn with_names(value: &Value, escape: Escape) -> String {
    let mut out = String::new();
    write(&mut out, value, escape, Form { names: true });
    out
}

#[derive(Clone, Copy)]
struct Form {
    names: bool,
}

fn write(out: &mut String, value: &Value, escape: Escape, form: Form) {
    match value {
        Value::Missing | Value::Nil => out.push_str("<nil>"),
        Value::Bool(on) => {
            let _ = write!(out, "{on}");
        }
        Value::Int(number) => {
            let _ = write!(out, "{number}");
        }
        Value::Float(number) => out.push_str(&float(*number)),
        Value::Text(text) => out.push_str(&shown(text, escape)),
        Value::Time(time) => out.push_str(&time::go_text(*time)),
        Value::List(list) => {
            out.push('[');
            for (place, item) in list.items.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { " " });
                write(out, item, escape, form);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push_str("map[");
            for (place, (name, item)) in map.entries.iter().enumerate() {
                out.push_str(if place == 0 { "" } else { " " });
                let name = Text { text: name.as_str().into(), foreign: true };
                let _ = write!(out, "{}:", shown(&name, escape));
                write(out, item, escape, form);
            }
            out.push(']');
        }
        Value::Struct(structure) => {
            let fields =
                structure.fields.iter().map(|field| (field.name.as_ref(), field.value.clone()));
            write_fields(out, fields, escape, form);
        }
        Value::Row(row) => {
            let fields = row.names().iter().filter_map(|name| Some((*name, row.field(name)?)));
            write_fields(out, fields, escape, form);
        }
    }
}

fn write_fields<'a>(
    out: &mut String,
    fields: impl Iterator<Item = (&'a str, Value)>,
    escape: Escape,
    form: Form,
) {
    out.push('{');
    for (place, (name, value)) in fields.enumerate() {
        out.push_str(if place == 0 { "" } else { " " });
        if form.names {
            let _ = write!(out, "{name}:");
        }
        write(out, &value, escape, form);
    }
    out.push('}');
}

/// A number with a fraction: the shortest text, with an exponent when it is far from 1.
fn float(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let exponent = number.abs().log10().floor() as i32;
    if (-4..21).contains(&exponent) {
        return format!("{number}");
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `Sprintf`: texts for each verb; what does not fit is said in the result, as Go does.
pub(crate) fn formatted(format: &str, arguments: &[Value], escape: Escape) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | '#' | ' ' | '0')) {
            match flag {
                '-' => verb.left = true,
                '+' => verb.plus = true,
                '0' => verb.zeros = !verb.left,
                '#' => verb.sharp = true,
                _ => verb.space = true,
            }
        }
        verb.width = Some(number(&mut chars, arguments, &mut used));
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(number(&mut chars, arguments, &mut used));
        }
        let Some(letter) = chars.next() else {
            out.push_str("%!(NOVERB)");
            break;
        };
        if letter == '%' {
            out.push('%');
            continue;
        }
        match arguments.get(used) {
            Some(value) => out.push_str(&verb.apply(letter, value, escape)),
            None => {
                let _ = write!(out, "%!{letter}(MISSING)");
            }
        }
        used += 1;
    }
    if used < arguments.len() {
        let extra = arguments[used..]
            .iter()
            .map(|value| format!("{}={}", value.go_type(), plain(value, escape)));
        let _ = write!(out, "%!(EXTRA {})", extra.collect::<Vec<_>>().join(", "));
    }
    out
}

/// Columns that a width or precision may ask for.
const WIDTH_MAX: usize = 1_000_000;

fn number(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    arguments: &[Value],
    used: &mut usize,
) -> usize {
    if chars.next_if_eq(&'*').is_some() {
        let value = arguments.get(*used);
        *used += 1;
        return match value {
            Some(Value::Int(number)) => usize::try_from(*number).unwrap_or(0).min(WIDTH_MAX),
            _ => 0,
        };
    }
    let mut digits = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        digits.push(digit);
    }
    digits.parse().unwrap_or(0).min(WIDTH_MAX)
}

/// The flags of a `%` verb.
#[derive(Debug, Default, Clone, Copy)]
struct Verb {
    left: bool,
    plus: bool,
    sharp: bool,
    space: bool,
    zeros: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Verb {
    fn apply(self, letter: char, value: &Value, escape: Escape) -> String {
        let text = match (letter, value) {
            ('v', _) if self.plus => with_names(value, escape),
            ('v', Value::Text(text)) if self.sharp => go_quoted(&text.text),
            ('v', _) => plain(value, escape),
            ('T', _) => value.go_type().to_owned(),
            ('t', Value::Bool(on)) => on.to_string(),
            ('s', Value::Text(text)) => self.cut(&shown(text, escape)),
            ('s', Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Row(_)) => {
                plain(value, escape)
            }
            ('s', Value::Time(_)) => self.cut(&plain(value, escape)),
            ('q', Value::Text(text)) => go_quoted(&self.cut(&text.text)),
            ('q', Value::List(list)) => {
                let items: Vec<_> =
                    list.items.iter().map(|item| self.bare().apply('q', item, escape)).collect();
                format!("[{}]", items.join(" "))
            }
            ('x', Value::Text(text)) => hex(&text.text, false),
            ('X', Value::Text(text)) => hex(&text.text, true),
            ('d', Value::Int(number)) => self.signed(*number, &number.unsigned_abs().to_string()),
            ('x', Value::Int(number)) => {
                self.signed(*number, &format!("{:x}", number.unsigned_abs()))
            }
            ('X', Value::Int(number)) => {
                self.signed(*number, &format!("{:X}", number.unsigned_abs()))
            }
            ('o', Value::Int(number)) => {
                self.signed(*number, &format!("{:o}", number.unsigned_abs()))
            }
            ('b', Value::Int(number)) => {
                self.signed(*number, &format!("{:b}", number.unsigned_abs()))
            }
            ('c', Value::Int(number)) => {
                let c = u32::try_from(*number).ok().and_then(char::from_u32);
                c.unwrap_or('\u{fffd}').to_string()
            }
            ('U', Value::Int(number)) => format!("U+{number:04X}"),
            ('f' | 'F', Value::Float(number)) => {
                format!("{number:.*}", self.precision.unwrap_or(6))
            }
            ('g', Value::Float(number)) => float(*number),
            ('e', Value::Float(number)) => {
                let text = format!("{number:.*e}", self.precision.unwrap_or(6));
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let exponent: i32 = exponent.parse().unwrap_or(0);
                let sign = if exponent < 0 { '-' } else { '+' };
                format!("{digits}e{sign}{:02}", exponent.abs())
            }
            (_, Value::Missing | Value::Nil) => format!("%!{letter}(<nil>)"),
            _ => format!("%!{letter}({}={})", value.go_type(), plain(value, escape)),
        };
        self.pad(text, matches!(value, Value::Int(_) | Value::Float(_)))
    }

    fn bare(self) -> Self {
        Self { width: None, ..self }
    }

    fn cut(self, text: &str) -> String {
        match self.precision {
            Some(letters) => text.chars().take(letters).collect(),
            None => text.to_owned(),
        }
    }

    fn signed(self, number: i64, digits: &str) -> String {
        let digits = match self.precision {
            Some(count) => format!("{digits:0>count$}"),
            None => digits.to_owned(),
        };
        let sign = match number {
            ..0 => "-",
            _ if self.plus => "+",
            _ if self.space => " ",
            _ => "",
        };
        format!("{sign}{digits}")
    }

    fn pad(self, text: String, number: bool) -> String {
        let Some(width) = self.width else { return text };
        let missing = width.saturating_sub(text.chars().count());
        if self.left {
            return text + &" ".repeat(missing);
        }
        if self.zeros {
            let split = usize::from(number && text.starts_with(['-', '+']));
            return format!("{}{}{}", &text[..split], "0".repeat(missing), &text[split..]);
        }
        " ".repeat(missing) + &text
    }
}

fn hex(text: &str, upper: bool) -> String {
    let byte = |b: u8| if upper { format!("{b:02X}") } else { format!("{b:02x}") };
    text.bytes().map(byte).collect()
}
