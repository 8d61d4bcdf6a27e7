//! What holds for any bytes: nothing panics, every place is in the file, nothing takes long.

use varve_build::{Ignore, Lint, Source, glob::Glob};

use crate::{busybox, options, plan_with};

/// Pieces that Dockerfiles are made of, so that noise reaches the deeper code.
const PIECES: &[&str] = &[
    "FROM ",
    "a",
    " AS ",
    "b\n",
    "scratch\n",
    "RUN ",
    "COPY ",
    "ADD ",
    "--from=",
    "--mount=",
    "type=cache",
    "type=secret,id=",
    ",target=/x",
    "--link ",
    "--parents ",
    "--exclude=",
    "ENV ",
    "ARG ",
    "LABEL ",
    "X",
    "=",
    "$X",
    "${X:-",
    "${X#",
    "${X//a/",
    "}",
    "\"",
    "'",
    "\\",
    "\\\n",
    "`",
    "\n",
    "\r\n",
    " ",
    "\t",
    "#",
    "# escape=`\n",
    "# check=",
    "error=true\n",
    "<<EOF",
    "<<-'E'",
    "\nEOF\n",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "NONE",
    "[",
    "\"a\"",
    ",",
    "]",
    "EXPOSE ",
    "80",
    "-",
    "/tcp",
    ":",
    "VOLUME ",
    "WORKDIR ",
    "/w",
    "..",
    "USER ",
    "SHELL ",
    "STOPSIGNAL ",
    "9",
    "*",
    "**/",
    "?",
    "!",
    "\u{feff}",
    "ä",
    "\u{0}",
    "https://h/r.git#",
    "MAINTAINER ",
    "ENTRYPOINT ",
];

/// Numbers that look random and are the same every time.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn text(&mut self, pieces: usize) -> Vec<u8> {
        let mut text = Vec::new();
        for _ in 0..self.below(pieces) {
            match self.below(12) {
                0 => text.push(self.below(256) as u8),
                _ => text.extend_from_slice(PIECES[self.below(PIECES.len())].as_bytes()),
            }
        }
        text
    }
}

#[test]
fn no_bytes_make_the_planner_panic_or_point_outside_the_file() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut planned, mut refused) = (0, 0);
    for round in 0..10_000 {
        let mut text = noise.text(30);
        if round % 2 == 0 {
            text.splice(0..0, *b"FROM a\n");
        }
        let source = Source::new("D", text.clone());
        let mut lint = Lint::new();
        let text = String::from_utf8_lossy(&text).into_owned();
        let result = plan_with(&text, &options(), &mut lint, |_| busybox());
        for warning in lint.warnings() {
            assert!(source.excerpt(&[warning.lines]).is_some(), "{text:?}: {warning:?}");
        }
        match result {
            Ok(plan) => {
                planned += 1;
                for (index, vertex) in plan.vertices.iter().enumerate() {
                    assert!(vertex.inputs().iter().all(|input| input.0 < index), "{text:?}");
                }
                assert_eq!(plan.keys(|_| Vec::new()).len(), plan.vertices.len());
                let layers = plan.image.config.history[plan.image.base_history..].iter();
                let layers = layers.filter(|entry| !entry.empty_layer).count();
                assert_eq!(layers, plan.image.layers.len(), "{text:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
                for lines in &error.at {
                    assert!(source.excerpt(&[*lines]).is_some(), "{text:?}: {error:?}");
                }
            }
        }
    }
    assert!(planned > 200 && refused > 200, "{planned} {refused}");
}

#[test]
fn the_same_text_gives_the_same_plan() {
    let mut noise = Noise(7);
    for _ in 0..500 {
        let text = String::from_utf8_lossy(&noise.text(40)).into_owned();
        let text = format!("FROM a\n{text}");
        let run = || {
            let plan = plan_with(&text, &options(), &mut Lint::new(), |_| busybox());
            plan.map(|plan| format!("{plan:?}")).map_err(|error| error.to_string())
        };
        assert_eq!(run(), run());
    }
}

#[test]
fn an_excerpt_marks_the_lines_meant_and_shows_four_or_two_around() {
    let mut noise = Noise(11);
    for _ in 0..5_000 {
        let count = 1 + noise.below(12);
        let source = Source::new("D", "x\n".repeat(count));
        let first = 1 + noise.below(count);
        let last = first + noise.below(count + 1 - first);
        let lines = varve_build::Lines { first, last };
        let excerpt = source.excerpt(&[lines]).unwrap();
        let marked: Vec<usize> =
            excerpt.lines.iter().filter(|line| line.marked).map(|line| line.number).collect();
        assert_eq!(marked, (first..=last).collect::<Vec<_>>());
        assert!(excerpt.lines.len() <= last - first + 1 + 5);
        assert_eq!(excerpt.line, first);
    }
}

#[test]
fn patterns_take_any_bytes() {
    let mut noise = Noise(13);
    for _ in 0..20_000 {
        let (pattern, path) = (noise.text(8), noise.text(8));
        let text = String::from_utf8_lossy(&pattern);
        let path = String::from_utf8_lossy(&path).replace('\0', "");
        let glob = Glob::parse(&text).map(|glob| glob.matches(&path));
        if let Ok(ignore) = Ignore::parse(&pattern) {
            let _ = (ignore.matches(&path), ignore.may_hold(&path), glob);
        }
    }
}

/// `a*a*a*…b` takes exponential time in a matcher that tries.
#[test]
fn patterns_full_of_stars_take_no_time() {
    let pattern = format!("{}b", "a*".repeat(500));
    let path = "a".repeat(1_000);
    assert!(!Glob::parse(&pattern).unwrap().matches(&path));
    assert!(!Ignore::parse(pattern.as_bytes()).unwrap().matches(&path));
}
