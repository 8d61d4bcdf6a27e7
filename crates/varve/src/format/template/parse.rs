//! Parsing: from tokens to nodes, with Go's error texts.

use std::collections::BTreeMap;

use super::{
    functions,
    node::{Branch, Command, Node, Operand, Pipe, What},
    number,
    quote::{go_quoted, unquoted},
    token::{Kind, Token, tokens},
};

/// The templates of a source: the one of the text itself has an empty name.
pub(crate) type Templates = BTreeMap<String, Vec<Node>>;

/// Blocks and parentheses inside one another.
const DEPTH_MAX: usize = 200;

/// Parses a source. The error's text is Go's.
pub(crate) fn parse(source: &str) -> Result<Templates, String> {
    let mut parser = Parser {
        tokens: tokens(source),
        next: 0,
        variables: vec!["$".to_owned()],
        templates: Templates::new(),
        loops: 0,
        depth: 0,
        action_line: 0,
    };
    let mut nodes = Vec::new();
    loop {
        if parser.peek().kind == Kind::End {
            break;
        }
        match parser.text_or_action()? {
            Part::Node(node) => nodes.push(node),
            Part::Nothing => {}
            Part::Else(_) => return Err(parser.error("unexpected {{else}}")),
            Part::End => return Err(parser.error("unexpected {{end}}")),
        }
    }
    parser.templates.insert(String::new(), nodes);
    Ok(parser.templates)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    variables: Vec<String>,
    templates: Templates,
    loops: usize,
    depth: usize,
    action_line: usize,
}

/// What an action is to the list that it stands in.
enum Part {
    Node(Node),
    /// A definition, which leaves nothing behind.
    Nothing,
    /// The `if` or `with` behind an `else`.
    Else(Option<String>),
    End,
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn peek_solid(&mut self) -> &Token {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
        self.peek()
    }

    fn take_solid(&mut self) -> Token {
        self.peek_solid();
        self.take()
    }

    fn error(&self, text: &str) -> String {
        let last = self.next.saturating_sub(1).min(self.tokens.len() - 1);
        format!("template: :{}: {text}", self.tokens[last].line)
    }

    fn unexpected(&self, token: &Token, context: &str) -> String {
        if token.kind != Kind::Error {
            return self.error(&format!("unexpected {} in {context}", token.shown()));
        }
        let mut extra = String::new();
        if self.action_line != 0 && self.action_line != token.line {
            extra = format!(" in action started at :{}", self.action_line);
            if token.text.ends_with(" action") {
                extra = extra.replacen(" in action", "", 1);
            }
        }
        self.error(&format!("{}{extra}", token.text))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token, String> {
        let token = self.take_solid();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("too many blocks inside one another"));
        }
        Ok(())
    }

    fn text_or_action(&mut self) -> Result<Part, String> {
        let token = self.take();
        match token.kind {
            Kind::Text => Ok(Part::Node(Node::Text(token.text))),
            Kind::Left => {
                self.action_line = token.line;
                let part = self.action();
                self.action_line = 0;
                part
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self) -> Result<Part, String> {
        let token = self.peek_solid().clone();
        if token.kind == Kind::Keyword {
            self.next += 1;
            return self.keyword(&token);
        }
        let pipe = self.pipe("command", Kind::Right)?;
        Ok(Part::Node(Node::Print(pipe)))
    }

    fn keyword(&mut self, token: &Token) -> Result<Part, String> {
        match token.text.as_str() {
            "if" => Ok(Part::Node(Node::If(self.branch("if")?))),
            "with" => Ok(Part::Node(Node::With(self.branch("with")?))),
            "range" => {
                self.loops += 1;
                let branch = self.branch("range");
                self.loops -= 1;
                Ok(Part::Node(Node::Range(branch?)))
            }
            "end" => {
                self.expect(Kind::Right, "end")?;
                Ok(Part::End)
            }
            "else" => {
                let behind = self.peek_solid().clone();
                if behind.kind == Kind::Keyword && matches!(behind.text.as_str(), "if" | "with") {
                    self.next += 1;
                    return Ok(Part::Else(Some(behind.text)));
                }
                self.expect(Kind::Right, "else")?;
                Ok(Part::Else(None))
            }
            "break" | "continue" => {
                self.expect(Kind::Right, &format!("{{{{{}}}}}", token.text))?;
                if self.loops == 0 {
                    let text = format!("{{{{{}}}}} outside {{{{range}}}}", token.text);
                    return Err(self.error(&text));
                }
                let node = if token.text == "break" { Node::Break } else { Node::Continue };
                Ok(Part::Node(node))
            }
            "template" => {
                let name = self.name("template clause")?;
                let pipe = if self.peek_solid().kind == Kind::Right {
                    self.next += 1;
                    None
                } else {
                    Some(self.pipe("template clause", Kind::Right)?)
                };
                Ok(Part::Node(Node::Template { at: token.at, name, pipe }))
            }
            "block" => {
                let name = self.name("block clause")?;
                let pipe = self.pipe("block clause", Kind::Right)?;
                self.definition(&name, "block clause")?;
                Ok(Part::Node(Node::Template { at: token.at, name, pipe: Some(pipe) }))
            }
            _ => {
                let name = self.name("define clause")?;
                self.expect(Kind::Right, "define clause")?;
                self.definition(&name, "define clause")?;
                Ok(Part::Nothing)
            }
        }
    }

    fn name(&mut self, context: &str) -> Result<String, String> {
        let token = self.take_solid();
        match (token.kind, unquoted(&token.text)) {
            (Kind::Quoted | Kind::Raw, Some(name)) => Ok(name),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    fn definition(&mut self, name: &str, context: &str) -> Result<(), String> {
        self.deeper()?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, end) = self.list()?;
        if !matches!(end, Part::End) {
            return Err(self.error(&format!("unexpected {{{{else}}}} in {context}")));
        }
        self.templates.insert(name.to_owned(), body);
        (self.variables, self.loops) = (outer, loops);
        self.depth -= 1;
        Ok(())
    }

    /// Parses up to an `end` or `else`, and says which.
    fn list(&mut self) -> Result<(Vec<Node>, Part), String> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::End {
            match self.text_or_action()? {
                Part::Node(node) => nodes.push(node),
                Part::Nothing => {}
                end @ (Part::Else(_) | Part::End) => return Ok((nodes, end)),
            }
        }
        self.next += 1;
        Err(self.error("unexpected EOF"))
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, String> {
        self.deeper()?;
        let known = self.variables.len();
        let pipe = self.pipe(context, Kind::Right)?;
        let (body, end) = self.list()?;
        let otherwise = match end {
            Part::Else(Some(keyword)) if keyword == context && context != "range" => {
                // `{{else if}}` is an `if` inside the `else`, with one `end` for both.
                let inner = self.branch(context)?;
                let node = if context == "if" { Node::If(inner) } else { Node::With(inner) };
                Some(vec![node])
            }
            Part::Else(Some(keyword)) => {
                return Err(self.error(&format!("unexpected <{keyword}> in else")));
            }
            Part::Else(None) => {
                let (nodes, end) = self.list()?;
                if !matches!(end, Part::End) {
                    return Err(self.error("expected end; found {{else}}"));
                }
                Some(nodes)
            }
            _ => None,
        };
        self.variables.truncate(known);
        self.depth -= 1;
        Ok(Branch { pipe, body, otherwise })
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, String> {
        let at = self.peek_solid().at;
        let mut pipe = Pipe { at, variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let token = self.take_solid();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::Open => {
                    self.next -= 1;
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        self.check_pipe(&pipe, context)?;
        Ok(pipe)
    }

    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), String> {
        while self.peek_solid().kind == Kind::Variable {
            let back = self.next;
            let variable = self.take().text;
            match self.peek_solid().kind {
                kind @ (Kind::Assign | Kind::Declare) => {
                    self.next += 1;
                    pipe.assigns = kind == Kind::Assign;
                    if pipe.assigns && !self.variables.contains(&variable) {
                        let text = format!("undefined variable {}", go_quoted(&variable));
                        return Err(self.error(&text));
                    }
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    return Ok(());
                }
                Kind::Comma if context == "range" && pipe.variables.is_empty() => {
                    self.next += 1;
                    pipe.variables.push(variable.clone());
                    self.variables.push(variable);
                    if self.peek_solid().kind != Kind::Variable {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                Kind::Comma => {
                    return Err(self.error(&format!("too many declarations in {context}")));
                }
                _ => {
                    self.next = back;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check_pipe(&self, pipe: &Pipe, context: &str) -> Result<(), String> {
        if pipe.commands.is_empty() {
            return Err(self.error(&format!("missing value for {context}")));
        }
        for (stage, command) in pipe.commands.iter().enumerate().skip(1) {
            if let What::Bool(_) | What::Dot | What::Nil | What::Number(..) | What::Text(..) =
                command.operands[0].what
            {
                let text = format!("non executable command in pipeline stage {}", stage + 1);
                return Err(self.error(&text));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command, String> {
        let at = self.peek_solid().at;
        let mut operands = Vec::new();
        loop {
            self.peek_solid();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::Right | Kind::Close => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if operands.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(Command { at, operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>, String> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let at = self.peek().at;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        operand = match operand.what {
            What::Field(mut first) => {
                first.append(&mut names);
                Operand { at, what: What::Field(first) }
            }
            What::Variable(mut first) => {
                first.append(&mut names);
                Operand { at, what: What::Variable(first) }
            }
            What::Bool(_) | What::Text(..) | What::Number(..) | What::Nil | What::Dot => {
                let shown = go_quoted(&operand.to_string());
                return Err(self.error(&format!("unexpected . after term {shown}")));
            }
            _ => Operand { at, what: What::Chain(Box::new(operand), names) },
        };
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, String> {
        let token = self.take_solid();
        let text = token.text.clone();
        let what = match token.kind {
            Kind::Identifier if functions::exists(&text) => What::Function(text),
            Kind::Identifier => {
                return Err(self.error(&format!("function {} not defined", go_quoted(&text))));
            }
            Kind::Dot => What::Dot,
            Kind::Nil => What::Nil,
            Kind::Bool => What::Bool(text == "true"),
            Kind::Variable if self.variables.contains(&text) => What::Variable(vec![text]),
            Kind::Variable => {
                return Err(self.error(&format!("undefined variable {}", go_quoted(&text))));
            }
            Kind::Field => What::Field(vec![text[1..].to_owned()]),
            Kind::Number => match number::parse(&text) {
                Some(number) => What::Number(number, text),
                None => return Err(self.error(&format!("illegal number syntax: {text:?}"))),
            },
            Kind::Char => match unquoted(&text).and_then(|text| text.chars().next()) {
                Some(c) => What::Number(number::Number::Int(i64::from(c as u32)), text),
                None => return Err(self.error(&format!("malformed character constant: {text}"))),
            },
            Kind::Quoted | Kind::Raw => match unquoted(&text) {
                Some(value) => What::Text(value, text),
                None => return Err(self.error("invalid syntax")),
            },
            Kind::Open => {
                self.deeper()?;
                let pipe = self.pipe("parenthesized pipeline", Kind::Close)?;
                self.depth -= 1;
                What::Pipe(Box::new(pipe))
            }
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, what }))
    }
}
