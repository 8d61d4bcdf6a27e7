//! Running a template on a value.

use super::{
    functions::{self, Fault},
    node::{Branch, Command, Node, Operand, Pipe, What},
    number::Number,
    parse::Templates,
    print::{self, Escape},
    value::Value,
};

/// Templates that call templates.
const DEPTH_MAX: usize = 500;
/// Bytes that one run may print.
const OUTPUT_SIZE_BYTES_MAX: usize = 256 << 20;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Whether a key that a map has not got is an error (on raw JSON) or nothing.
    pub(crate) missing_key_fails: bool,
    /// Whether the value is a table's header: functions that change texts leave it alone.
    pub(crate) header: bool,
    pub(crate) escape: Escape,
}

/// Runs the template without a name. The error's text is Go's.
pub(crate) fn run(
    source: &str,
    templates: &Templates,
    dot: &Value,
    options: Options,
) -> Result<String, String> {
    let mut run = Run {
        source,
        templates,
        options,
        name: String::new(),
        variables: vec![("$".to_owned(), dot.clone())],
        depth: 0,
        out: String::new(),
    };
    let nodes = templates.get("").map(Vec::as_slice).unwrap_or_default();
    match run.list(nodes, dot) {
        Ok(_) => Ok(run.out),
        Err(Stop(text)) => Err(text),
    }
}

struct Run<'a> {
    source: &'a str,
    templates: &'a Templates,
    options: Options,
    name: String,
    variables: Vec<(String, Value)>,
    depth: usize,
    out: String,
}

struct Stop(String);

/// What a list tells the loop around it.
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Run<'a> {
    fn error(&self, at: usize, node: impl std::fmt::Display, text: impl std::fmt::Display) -> Stop {
        let before = &self.source[..at];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        let name = super::quote::go_quoted(&self.name);
        Stop(format!("template: :{line}:{column}: executing {name} at <{node}>: {text}"))
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value) -> Result<Flow, Stop> {
        for node in nodes {
            match node {
                Node::Text(text) => self.out.push_str(text),
                Node::Print(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.variables.is_empty() {
                        self.print(&value);
                    }
                }
                Node::If(branch) => match self.branch(branch, dot, false)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                },
                Node::With(branch) => match self.branch(branch, dot, true)? {
                    Flow::On => {}
                    flow => return Ok(flow),
                },
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Template { at, name, pipe } => {
                    self.template(*at, name, pipe.as_ref(), dot)?;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
            }
            if self.out.len() > OUTPUT_SIZE_BYTES_MAX {
                return Err(Stop("template: output is too long".to_owned()));
            }
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) {
        match value {
            Value::Missing => self.out.push_str("<no value>"),
            value => self.out.push_str(&print::plain(value, self.options.escape)),
        }
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, with: bool) -> Result<Flow, Stop> {
        let known = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = if value.is_true() {
            self.list(&branch.body, if with { &value } else { dot })
        } else {
            self.list(branch.otherwise.as_deref().unwrap_or_default(), dot)
        };
        self.variables.truncate(known);
        flow
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result<(), Stop> {
        let known = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        self.variables.truncate(known);
        let items: Vec<(Value, Value)> = match &value {
            Value::List(list) => (0..).map(Value::Int).zip(list.items.iter().cloned()).collect(),
            Value::Map(map) => map
                .entries
                .iter()
                .map(|(name, value)| (Value::foreign(name.as_str()), value.clone()))
                .collect(),
            Value::Int(count) => {
                let count = (*count).min(1_000_000);
                (0..count).map(|i| (Value::Int(i), Value::Int(i))).collect()
            }
            Value::Missing | Value::Nil => Vec::new(),
            other => {
                let shown = print::plain(other, self.options.escape);
                let text = format!("range can't iterate over {shown}");
                return Err(self.error(branch.pipe.at, &branch.pipe, text));
            }
        };
        if items.is_empty() {
            let otherwise = branch.otherwise.as_deref().unwrap_or_default();
            self.list(otherwise, dot)?;
            self.variables.truncate(known);
            return Ok(());
        }
        for (key, item) in items {
            match branch.pipe.variables.as_slice() {
                [one] => self.set(one, item.clone(), branch.pipe.assigns),
                [first, second] => {
                    self.set(first, key, branch.pipe.assigns);
                    self.set(second, item.clone(), branch.pipe.assigns);
                }
                _ => {}
            }
            let flow = self.list(&branch.body, &item)?;
            self.variables.truncate(known);
            if matches!(flow, Flow::Break) {
                break;
            }
        }
        Ok(())
    }

    fn template(
        &mut self,
        at: usize,
        name: &str,
        pipe: Option<&'a Pipe>,
        dot: &Value,
    ) -> Result<(), Stop> {
        let quoted = super::quote::go_quoted(name);
        let node = format!("{{{{template {quoted}}}}}");
        let Some(nodes) = self.templates.get(name) else {
            return Err(self.error(at, node, format!("template {quoted} not defined")));
        };
        if self.depth == DEPTH_MAX {
            let text = format!("exceeded maximum template depth ({DEPTH_MAX})");
            return Err(self.error(at, node, text));
        }
        let dot = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        let variables = vec![("$".to_owned(), dot.clone())];
        let outer = std::mem::replace(&mut self.variables, variables);
        let outer_name = std::mem::replace(&mut self.name, name.to_owned());
        self.depth += 1;
        self.list(nodes, &dot)?;
        self.depth -= 1;
        (self.variables, self.name) = (outer, outer_name);
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value, assigns: bool) {
        if assigns {
            if let Some((_, known)) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
                *known = value;
            }
        } else {
            self.variables.push((name.to_owned(), value));
        }
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Result<Value, Stop> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Missing);
        if let [name] = pipe.variables.as_slice() {
            self.set(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        let first = &command.operands[0];
        if let What::Function(name) = &first.what {
            return self.call(name, command, dot, last);
        }
        let has_arguments = command.operands.len() > 1 || last.is_some();
        match &first.what {
            What::Nil => return Err(self.error(first.at, first, "nil is not a command")),
            What::Field(names) if has_arguments => {
                return self.called_field(command, names, dot, last);
            }
            _ if has_arguments => {
                let text = format!("can't give argument to non-function {first}");
                return Err(self.error(first.at, first, text));
            }
            _ => {}
        }
        self.operand(first, dot)
    }

    /// Calls the one method with an argument that rows have, and their headers: `.Label "name"`.
    /// All else is none; says so as Go does.
    fn called_field(
        &mut self,
        command: &'a Command,
        names: &[String],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        let operand = &command.operands[0];
        let value = self.fields(operand, dot.clone(), &names[..names.len() - 1])?;
        let name = &names[names.len() - 1];
        if let Value::Row(_) | Value::Map(_) = &value
            && name == "Label"
        {
            let given = match (command.operands.get(1), last) {
                (Some(argument), _) => self.operand(argument, dot)?,
                (None, last) => last.unwrap_or(Value::Missing),
            };
            let Value::Text(label) = given else { return Ok(Value::text("")) };
            match &value {
                Value::Row(row) => {
                    if let Some(found) = row.label(&label.text) {
                        return Ok(found);
                    }
                }
                _ if self.options.header => {
                    let last = label.text.rsplit('.').next().unwrap_or_default();
                    return Ok(Value::text(last.replace(['-', '_'], " ")));
                }
                _ => {}
            }
        }
        self.fields(operand, value.clone(), std::slice::from_ref(name))?;
        let text = match value {
            Value::Map(_) => format!("{name} is not a method but has arguments"),
            Value::Row(_) => format!("wrong number of args for {name}: want 0 got 1"),
            _ => format!("{name} has arguments but cannot be invoked as function"),
        };
        Err(self.error(operand.at, operand, text))
    }

    fn call(
        &mut self,
        name: &str,
        command: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        if matches!(name, "and" | "or") {
            return self.choose(name, command, dot, last);
        }
        let mut arguments = Vec::with_capacity(command.operands.len());
        for operand in &command.operands[1..] {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        if self.options.header && functions::leaves_headers_alone(name) && !arguments.is_empty() {
            return Ok(arguments.swap_remove(0));
        }
        functions::call(name, &arguments, self.options.escape).map_err(|fault| match fault {
            Fault::Arguments(text) => self.error(command.at, &command.operands[0], text),
            Fault::Call(text) => {
                self.error(command.at, command, format!("error calling {name}: {text}"))
            }
        })
    }

    /// `and` and `or` stop at the first argument that decides.
    fn choose(
        &mut self,
        name: &str,
        command: &'a Command,
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Stop> {
        let mut value = None;
        for operand in &command.operands[1..] {
            let found = self.operand(operand, dot)?;
            let decides = found.is_true() == (name == "or");
            value = Some(found);
            if decides {
                break;
            }
        }
        let decided = value.as_ref().is_some_and(|value| value.is_true() == (name == "or"));
        let value = if decided { value } else { last.or(value) };
        value.ok_or_else(|| {
            let text = format!("wrong number of args for {name}: want at least 1 got 0");
            self.error(command.at, &command.operands[0], text)
        })
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Value) -> Result<Value, Stop> {
        match &operand.what {
            What::Dot => Ok(dot.clone()),
            What::Nil => Ok(Value::Nil),
            What::Bool(on) => Ok(Value::Bool(*on)),
            What::Number(Number::Int(number), _) => Ok(Value::Int(*number)),
            What::Number(Number::Float(number), _) => Ok(Value::Float(*number)),
            What::Text(text, _) => Ok(Value::text(text.as_str())),
            What::Field(names) => self.fields(operand, dot.clone(), names),
            What::Variable(names) => {
                let known = self.variables.iter().rev().find(|(name, _)| *name == names[0]);
                let value = known.map_or(Value::Missing, |(_, value)| value.clone());
                self.fields(operand, value, &names[1..])
            }
            What::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(operand, value, names)
            }
            What::Pipe(pipe) => {
                let known = self.variables.len();
                let value = self.pipe(pipe, dot);
                self.variables.truncate(known);
                value
            }
            What::Function(name) => {
                functions::call(name, &[], self.options.escape).map_err(|fault| match fault {
                    Fault::Arguments(text) | Fault::Call(text) => {
                        self.error(operand.at, operand, text)
                    }
                })
            }
        }
    }

    fn fields(
        &mut self,
        operand: &Operand,
        mut value: Value,
        names: &[String],
    ) -> Result<Value, Stop> {
        for (place, name) in names.iter().enumerate() {
            value = self.field(operand, value, name, place == 0)?;
        }
        Ok(value)
    }

    fn field(
        &self,
        operand: &Operand,
        value: Value,
        name: &str,
        first: bool,
    ) -> Result<Value, Stop> {
        let raw = self.options.missing_key_fails;
        let found = match &value {
            Value::Map(map) => match map.entries.get(name) {
                Some(found) => Some(found.clone()),
                None if raw => {
                    let text =
                        format!("map has no entry for key {}", super::quote::go_quoted(name));
                    return Err(self.error(operand.at, operand, text));
                }
                None => Some(Value::Missing),
            },
            Value::Struct(structure) => {
                let field = structure.fields.iter().find(|field| field.name == name);
                field.map(|field| field.value.clone())
            }
            Value::Row(row) => row.field(name),
            Value::Missing if raw && first => {
                let text = format!("nil data; no entry for key {}", super::quote::go_quoted(name));
                return Err(self.error(operand.at, operand, text));
            }
            Value::Missing if !raw => Some(Value::Missing),
            Value::Missing | Value::Nil => {
                let text = format!("nil pointer evaluating interface {{}}.{name}");
                return Err(self.error(operand.at, operand, text));
            }
            _ => None,
        };
        found.ok_or_else(|| {
            let kind = if raw { "interface {}" } else { value.go_type() };
            let text = format!("can't evaluate field {name} in type {kind}");
            self.error(operand.at, operand, text)
        })
    }
}
