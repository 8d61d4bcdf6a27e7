//! A parsed template.

use std::fmt;

use super::number::Number;

/// A part of a template, in the order of the text.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Text(String),
    /// `{{pipe}}`: its value is printed, unless it declares variables.
    Print(Pipe),
    /// `{{if}}`
    If(Branch),
    /// `{{with}}`
    With(Branch),
    /// `{{range}}`
    Range(Branch),
    /// `{{template "name" pipe}}`
    Template {
        at: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// The parts of an `if`, `with` or `range`.
#[derive(Debug, Clone)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Option<Vec<Node>>,
}

/// Commands joined by `|`.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pub(crate) at: usize,
    /// Variables that take the value.
    pub(crate) variables: Vec<String>,
    /// Whether they are there already (`=`, not `:=`).
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand, or a function and its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub(crate) at: usize,
    pub(crate) operands: Vec<Operand>,
}

/// What a command consists of.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) at: usize,
    pub(crate) what: What,
}

/// The kinds of operands.
#[derive(Debug, Clone)]
pub(crate) enum What {
    Dot,
    Nil,
    Bool(bool),
    Number(Number, String),
    /// The text, and how it was written.
    Text(String, String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable(Vec<String>),
    /// `(pipe).A.B`
    Chain(Box<Operand>, Vec<String>),
    Function(String),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            let sign = if self.assigns { "=" } else { ":=" };
            write!(f, "{} {sign} ", self.variables.join(", "))?;
        }
        for (place, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if place == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Dot => f.write_str("."),
            What::Nil => f.write_str("nil"),
            What::Bool(on) => write!(f, "{on}"),
            What::Number(_, written) | What::Text(_, written) => f.write_str(written),
            What::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            What::Variable(names) => f.write_str(&names.join(".")),
            What::Chain(operand, names) => {
                write!(f, "{operand}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            What::Function(name) => f.write_str(name),
            What::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}
