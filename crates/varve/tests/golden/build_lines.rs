//! What was recorded of builds: seconds are placeholders, and lines that repeat in every build were
//! left out, but in the records of the reference build.

use crate::world::{World, write};

/// The reference build's Dockerfile.
const REFERENCE: &str = r#"# syntax-free reference Dockerfile
ARG BASE=busybox:1.36.0
FROM ${BASE} AS builder
ARG VERSION=1.0
ENV APP_HOME=/app APP_VERSION=$VERSION
WORKDIR $APP_HOME
COPY file.txt ./
RUN echo "built $VERSION" > built.txt && \
    cat file.txt
FROM busybox:1.36.0
LABEL org.example.name="demo" org.example.multi="line one"
MAINTAINER Jane <jane@example.com>
ENV A=1
ENV B="two words" C=$A-x
ARG TOKEN
COPY --from=builder /app/built.txt /out/built.txt
COPY --chown=1000:1000 --chmod=755 dir/ /data/dir/
ADD file.txt /added/
RUN ["/bin/sh","-c","echo exec form"]
RUN true
USER 1000:1000
WORKDIR /home
WORKDIR rel
VOLUME ["/vol1", "/vol2"]
EXPOSE 8080 53/udp
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=3s --retries=2 CMD wget -q localhost || exit 1
SHELL ["/bin/sh","-ec"]
ONBUILD COPY . /src
ENTRYPOINT ["/bin/sh","-c"]
CMD ["echo hi"]
"#;

/// Writes the recorded context.
pub(crate) fn write_context(world: &World) {
    let context = world.run_directory().join("ctx");
    std::fs::create_dir_all(context.join("dir")).expect("a directory");
    write(&context.join("Dockerfile"), REFERENCE.as_bytes());
    write(&context.join("file.txt"), b"hello\n");
    world.set_up("chmod 640 ctx/file.txt");
    write(&context.join("dir/a.txt"), b"a\n");
    write(&context.join("dir/b.md"), b"b\n");
    write(&context.join("D"), b"");
}

/// A text of ours as it would have been recorded. `recorded` is what was.
pub(crate) fn as_recorded(text: &str, recorded: &str) -> String {
    let text = in_order(text);
    let mut lines: Vec<String> = text.split('\n').map(with_placeholders).collect();
    lines.retain(|line| !is_on_the_way(line));
    if !recorded.contains("warning found") && !recorded.contains("WARN: ") {
        // The recorded builder had no checks; ours are those of a later one.
        without_checks(&mut lines);
    }
    let is_build = lines.iter().any(|line| line.starts_with("#0 building with "));
    if !is_build || recorded.contains("#0 building with ") {
        return lines.join("\n");
    }
    let shown: Vec<&str> = recorded.lines().map(without_number).collect();
    let is_shown = |line: &str| !line.is_empty() && shown.contains(&without_number(line));
    let lines = lines.iter().map(String::as_str);
    let kept: Vec<&str> = lines.filter(|line| !is_usual(line) || is_shown(line)).collect();
    kept.join("\n") + "\n"
}

/// Plain progress with the steps of each stage in their order, and numbered so: ours that need
/// nothing of each other, such as copies, are made at once.
fn in_order(text: &str) -> String {
    if !text.starts_with("#0 building with ") {
        return text.to_owned();
    }
    let number = |line: &str| line[..line.len() - without_number(line).len()].to_owned();
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with('#')) {
        let number = number(line);
        let known = blocks.iter_mut().find(|(known, _)| *known == number);
        match known {
            _ if line.is_empty() => {}
            // A header is repeated when another step told something between.
            Some((_, block)) if without_number(block[0]) == without_number(line) => {}
            Some((_, block)) => block.push(line),
            None => blocks.push((number, vec![line])),
        }
    }
    let rest: Vec<&str> = lines.collect();
    let numbers: Vec<String> = blocks.iter().map(|(number, _)| number.clone()).collect();
    let places: Vec<Option<(&str, u32)>> = blocks.iter().map(|(_, it)| place(it[0])).collect();
    for stage in places.iter().flatten().map(|(stage, _)| stage) {
        let of_stage = |place: &Option<(&str, u32)>| place.is_some_and(|(it, _)| it == *stage);
        let at: Vec<usize> = (0..blocks.len()).filter(|at| of_stage(&places[*at])).collect();
        let mut own: Vec<Vec<&str>> = at.iter().map(|at| blocks[*at].1.clone()).collect();
        own.sort_by_key(|block| place(block[0]));
        for (at, block) in at.into_iter().zip(own) {
            blocks[at].1 = block;
        }
    }
    let mut out = String::new();
    for (number, (_, block)) in numbers.iter().zip(&blocks) {
        for line in block {
            out.extend([number, without_number(line), "\n"]);
        }
        out += "\n";
    }
    out + &rest.join("\n")
}

/// The stage of a step and its place in it: `#6 [builder 2/4] WORKDIR /app`.
fn place(header: &str) -> Option<(&str, u32)> {
    let (inside, _) = without_number(header).strip_prefix('[')?.split_once(']')?;
    let (stage, place) = inside.rsplit_once(' ').unwrap_or(("", inside));
    Some((stage, place.split_once('/')?.0.parse().ok()?))
}

/// Takes out what the build checks found.
fn without_checks(lines: &mut Vec<String>) {
    let is_head = |line: &String| line.starts_with(" \u{1b}[33m") && line.contains(" found (use ");
    if let Some(head) = lines.iter().position(is_head) {
        let is_item = |line: &&String| line.starts_with("\u{1b}[0m - ") || line.starts_with(" - ");
        let count = lines[head + 1..].iter().take_while(is_item).count();
        let blank = usize::from(head > 0 && lines[head - 1].is_empty());
        lines.drain(head - blank..=head + count);
    }
    let is_warning = |line: &String| {
        line.starts_with('#') && line.contains(" WARN: ") || line.contains("\u{1b}[33m => WARN: ")
    };
    lines.retain(|line| !is_warning(line));
}

/// A line without the number of its step.
fn without_number(line: &str) -> &str {
    let Some(rest) = line.strip_prefix('#') else { return line };
    rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start()
}

/// The steps of plain progress, each with all its lines as one row, and what else there is. Rows
/// have no numbers: those depend on which step begins first.
pub(crate) fn steps(text: &str) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut places: Vec<(&str, usize)> = Vec::new();
    for line in text.split('\n').filter(|line| !line.is_empty()) {
        let number = &line[..line.len() - without_number(line).len()];
        let rest = without_number(line);
        if number.is_empty() {
            rows.push(line.to_owned());
        } else if let Some((_, place)) = places.iter().find(|(known, _)| *known == number) {
            // A header is repeated when another step told something between.
            if !rows[*place].starts_with(rest) || !rest.starts_with('[') {
                rows[*place].extend(["\n# ", rest]);
            }
        } else {
            rows.push(format!("# {rest}"));
            if is_movable(&rows[rows.len() - 1]) {
                places.push((number, rows.len() - 1));
            }
        }
    }
    rows
}

/// Whether docker reports a step, as [`steps`] has it, in no certain order: it is an instruction.
pub(crate) fn is_movable(row: &str) -> bool {
    row.starts_with("# [") && !row.starts_with("# [internal]")
}

/// A text of a build, recorded or ours, without how long parts took: docker tells that of those
/// that took long.
pub(crate) fn without_time_of_parts(text: &str) -> String {
    text.replace(" <SEC>s done", " done")
}

/// Whether a line tells of a part that goes on.
fn is_on_the_way(line: &str) -> bool {
    const PARTS: &[&str] = &["exporting layers", "pushing layer "];
    let rest = without_number(line);
    PARTS.iter().any(|part| rest.starts_with(part)) && !rest.ends_with(" done")
}

/// Whether a line is in every build.
fn is_usual(line: &str) -> bool {
    if line.is_empty() {
        return true;
    }
    if !line.starts_with('#') {
        return false;
    }
    let rest = without_number(line);
    const USUAL: &[&str] = &[
        "building with ",
        "[internal] load build definition",
        "[internal] load metadata",
        "[internal] load .dockerignore",
        "[internal] load build context",
        "transferring ",
        "exporting ",
        "writing image ",
        "DONE",
        "CACHED",
        "resolve ",
    ];
    let is_base = rest == "FROM docker.io/library/busybox:1.36.0"
        || rest.starts_with('[') && rest.contains("1] FROM docker.io/library/busybox")
        || rest.starts_with('[') && rest.contains("] FROM docker.io/library/busybox:1.36.0");
    is_base || USUAL.iter().any(|usual| rest.starts_with(usual))
}

/// Seconds and IDs of builds as placeholders.
fn with_placeholders(line: &str) -> String {
    let words: Vec<String> = line.split(' ').map(word).collect();
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    // `#7 0.248 text`, and the same without a number at the end of a failed build.
    let at = usize::from(words[0].starts_with('#'));
    if words.get(at).is_some_and(|word| is_decimal(word)) && words.len() > at + 1 {
        words[at] = "<SEC>";
    }
    words.join(" ")
}

fn word(word: &str) -> String {
    if let Some(word) = word.strip_suffix('\r') {
        return self::word(word) + "\r";
    }
    if let Some(number) = word.strip_suffix('s').filter(|number| is_decimal(number)) {
        return format!("<SEC>{}", &word[number.len()..]);
    }
    // `default/default/` and the like stand in front of some.
    let at = word.rfind('/').map_or(0, |at| at + 1);
    let (lead, word) = word.split_at(at);
    let (bare, tail) = match word.find(|c: char| !c.is_ascii_alphanumeric()) {
        Some(end) => word.split_at(end),
        None => (word, ""),
    };
    if is_id(bare) { format!("{lead}<ID25>{tail}") } else { format!("{lead}{word}") }
}

/// Whether a word is a name that BuildKit makes up.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 25 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

fn is_decimal(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, part)| {
        [whole, part]
            .iter()
            .all(|half| !half.is_empty() && half.bytes().all(|b| b.is_ascii_digit()))
    })
}
