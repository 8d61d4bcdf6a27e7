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
    let mut lines: Vec<String> = text.split('\n').map(with_placeholders).collect();
    if !recorded.contains("warning found") && !recorded.contains("WARN: ") {
        // The recorded builder had no checks; ours are those of a later one.
        without_checks(&mut lines);
    }
    let is_build = lines.iter().any(|line| line.starts_with("#0 building with "));
    if !is_build || recorded.contains("#0 building with ") {
        return lines.join("\n");
    }
    let kept: Vec<&str> = lines.iter().map(String::as_str).filter(|l| !is_usual(l)).collect();
    kept.join("\n") + "\n"
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
    lines.retain(|line| !(line.starts_with('#') && line.contains(" WARN: ")));
}

/// Whether a line is in every build.
fn is_usual(line: &str) -> bool {
    if line.is_empty() {
        return true;
    }
    let Some(rest) = line.strip_prefix('#') else { return false };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
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
    let is_base = rest.starts_with('[') && rest.contains("1] FROM docker.io/library/busybox")
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
    let is_id = |text: &str| {
        text.len() == 25 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    };
    if let Some(number) = word.strip_suffix('s').filter(|number| is_decimal(number)) {
        return format!("<SEC>{}", &word[number.len()..]);
    }
    let (bare, tail) = match word.find(|c: char| !c.is_ascii_alphanumeric()) {
        Some(end) => word.split_at(end),
        None => (word, ""),
    };
    if is_id(bare) { format!("<ID25>{tail}") } else { word.to_owned() }
}

fn is_decimal(text: &str) -> bool {
    text.split_once('.').is_some_and(|(whole, part)| {
        [whole, part]
            .iter()
            .all(|half| !half.is_empty() && half.bytes().all(|b| b.is_ascii_digit()))
    })
}
