//! The images that play in the recordings.

use crate::images::{Blob, Form, Image, Served, Step, Tar, index};

const PATH: &str =
    "\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\"]";

/// Every image under its short name.
pub(crate) struct Cast {
    pub(crate) busybox: Image,
    pub(crate) busybox_arm: Image,
    pub(crate) hello: Image,
    pub(crate) debian: Image,
    pub(crate) multi: Image,
    /// Two layers of one size, with labels: `pr:a` and two that lost their names.
    pub(crate) pr: [Image; 3],
    /// Two images whose IDs begin with `7d`, two with `d4`.
    pub(crate) twins: Vec<Image>,
    /// What `busybox` was made from, as GNU tar pads it.
    pub(crate) rootfs: Vec<u8>,
}

impl Cast {
    /// `times` are those of debian, hello-world and busybox, without a fraction.
    pub(crate) fn new(recent: [&str; 3], times: [&str; 3]) -> Self {
        let busybox = [busybox_tar("amd64", true), busybox_tar("arm64", false)];
        Self::with(recent, times, busybox, hello_tar())
    }

    /// The same with images that run, hello-world and the other platform's busybox too; `None`
    /// where the machine has nothing to run in them.
    pub(crate) fn alive(recent: [&str; 3], times: [&str; 3]) -> Option<Self> {
        let (program, _) = real_busybox()?;
        let busybox = [busybox_tar("amd64", true), busybox_tar("arm64", true)];
        Some(Self::with(recent, times, busybox, living_hello(&program)))
    }

    fn with(recent: [&str; 3], times: [&str; 3], [bb, arm]: [Blob; 2], hello: Blob) -> Self {
        let ([now, _, _], [late, middle, early]) = (recent, times);
        // Of the same second as its sibling, but listed after it.
        let before = format!("{early}.100000000");
        let shell = "\"Cmd\":[\"sh\"],\"WorkingDir\":\"/\",\"ArgsEscaped\":true";
        let shell = format!("{PATH},{shell}");
        let steps = |tar| {
            [
                Step { by: "ADD bb.tar / # buildkit", tar: Some(tar) },
                Step { by: "CMD [\"sh\"]", tar: None },
            ]
        };
        let run = format!("{PATH},\"Cmd\":[\"/hello\"],\"WorkingDir\":\"/\",\"ArgsEscaped\":true");
        let hello_steps = [
            Step { by: "COPY hello / # buildkit", tar: Some(&hello) },
            Step { by: "CMD [\"/hello\"]", tar: None },
        ];
        let mut rootfs = bb.bytes.clone();
        rootfs.resize(rootfs.len().next_multiple_of(10_240), 0);
        Self {
            busybox: Image::built("amd64", early, &shell, &steps(&bb), "2b"),
            busybox_arm: Image::built("arm64", &before, &shell, &steps(&arm), "92"),
            hello: Image::built("amd64", middle, &run, &hello_steps, "fd"),
            debian: Image::imported(late, debian_tar()),
            multi: multi(now, &bb),
            pr: pr(recent, &bb),
            twins: twins(now),
            rootfs,
        }
    }

    /// Busybox as an index over two platforms: the index, then its manifests.
    pub(crate) fn busybox_index(&self) -> (Blob, [Served; 2]) {
        let both = [self.busybox.served(Form::OciGzip), self.busybox_arm.served(Form::OciGzip)];
        (index(&[("amd64", &both[0]), ("arm64", &both[1])]), both)
    }
}

/// Bytes of Debian's static busybox, which the recorded image was made of.
const BUSYBOX_SIZE_BYTES: usize = 1_982_256;
/// Its other names there.
const LINKS: usize = 268;

/// One program under many names, as it was recorded: 1,984,299 bytes in a tar of 2,128,384. Where
/// the machine has a static busybox that fits, the image runs.
fn busybox_tar(architecture: &str, runs: bool) -> Blob {
    let mut program = b"\x7fELF a program for ".to_vec();
    program.extend_from_slice(architecture.as_bytes());
    program.extend(noise(1_000_000));
    let mut names: Vec<String> = (0..LINKS).map(|at| format!("applet{at:03}")).collect();
    if let Some((real, known)) = real_busybox().filter(|_| runs) {
        (program, names) = (real, known);
    }
    // What follows a program's last segment is not looked at.
    program.resize(BUSYBOX_SIZE_BYTES, b'b');
    let mut tar = Tar::default();
    tar.directory("bin/");
    names.push("busybox".to_owned());
    names.sort();
    for name in names {
        match name.as_str() {
            "busybox" => tar.file("bin/busybox", 0o755, &program),
            name => tar.symlink(&format!("bin/{name}"), "busybox"),
        }
    }
    tar.directory("etc/");
    tar.file("etc/group", 0o644, b"root:x:0:\ndaemon:x:1:\nusers:x:100:\nnobody:x:65534:\n");
    let users = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
                 nobody:x:65534:65534:nobody:/home:/bin/false\n";
    tar.file("etc/passwd", 0o644, users.as_bytes());
    for name in ["home/", "root/", "sbin/", "tmp/", "usr/", "usr/bin/", "usr/sbin/", "var/"] {
        match name {
            "tmp/" => tar.directory_of_all(name),
            name => tar.directory(name),
        }
    }
    let tar = tar.finish();
    assert_eq!(tar.bytes.len(), 2_128_384);
    tar
}

/// The machine's busybox and its other names, if it needs no libraries and fits.
fn real_busybox() -> Option<(Vec<u8>, Vec<String>)> {
    let path = varve_testkit::guard::tool("busybox")?;
    let program = std::fs::read(&path).ok()?;
    let is_static =
        !program.windows(10).any(|bytes| bytes == b"/ld-linux-" || bytes == b"/ld-musl-x");
    let listed = std::process::Command::new(path).arg("--list").output().ok()?;
    let listed = String::from_utf8(listed.stdout).ok()?;
    let mut names: Vec<String> =
        listed.lines().filter(|name| *name != "busybox").map(str::to_owned).collect();
    names.truncate(LINKS);
    let fits = is_static && program.len() <= BUSYBOX_SIZE_BYTES && names.len() == LINKS;
    fits.then_some((program, names))
}

/// A script and the shell that it needs.
fn living_hello(program: &[u8]) -> Blob {
    const HELLO: &str = "#!/busybox sh\necho; echo Hello from Docker!; echo This message shows \
                         that your installation appears to be working correctly.; echo\n";
    let mut tar = Tar::default();
    tar.file("busybox", 0o755, program);
    tar.file("hello", 0o755, HELLO.as_bytes());
    tar.finish()
}

/// Bytes that do not compress, the same every time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn hello_tar() -> Blob {
    let mut tar = Tar::default();
    let mut program = noise(300_000);
    program.resize(682_700, b'h');
    tar.file("hello", 0o755, &program);
    let tar = tar.finish();
    assert_eq!(tar.bytes.len(), 684_544);
    tar
}

fn debian_tar() -> Blob {
    let mut tar = Tar::default();
    let mut content = noise(4_000_000);
    content.resize(164_000_000, b'd');
    tar.file("content", 0o644, &content);
    tar.finish()
}

/// Busybox and three small layers, the last with whiteouts.
fn multi(now: &str, bb: &Blob) -> Image {
    let small = |names: &[&str]| {
        let mut tar = Tar::default();
        for name in names {
            tar.file(name, 0o644, b"x");
        }
        tar.finish()
    };
    // Its digest begins with `fffff`. A recorded loop over the sorted members ends with the exit
    // code of the last one, which was a layer.
    let mut a = Tar::default();
    for (name, content) in [("a", "x"), ("b", "x"), ("c", "0455973")] {
        a.file(name, 0o644, content.as_bytes());
    }
    let a = a.finish();
    assert!(a.hex().starts_with("fffff"));
    let d = small(&["d/1", "d/2", "d/3", "d/4"]);
    let mut last = Tar::default();
    last.file(".wh.a", 0o600, b"");
    last.file(".wh.d", 0o600, b"");
    last.directory("etc/");
    let last = last.finish();
    let config = "\"Env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\
                  \"K=v\"],\"Cmd\":[\"cat\",\"/hard\"],\"WorkingDir\":\"/\",\"ArgsEscaped\":true";
    let steps = [
        Step { by: "ADD bb.tar / # buildkit", tar: Some(bb) },
        Step { by: "CMD [\"sh\"]", tar: None },
        Step { by: "COPY a / # buildkit", tar: Some(&a) },
        Step { by: "COPY d /d # buildkit", tar: Some(&d) },
        Step { by: &format!("RUN /bin/sh -c rm -r a d # {:143}buildkit", ""), tar: Some(&last) },
        Step { by: "ENV K=v", tar: None },
        Step { by: "CMD [\"cat\" \"/hard\"]", tar: None },
    ];
    // Eight digits, as recorded: they count in what `save` writes.
    let image = Image::built("amd64", &format!("{now}.12345678"), config, &steps, "");
    assert_eq!(image.config.bytes.len(), 1582);
    image
}

/// The second is the youngest, then the third: they were listed so.
fn pr([second, third, first]: [&str; 3], bb: &Blob) -> [Image; 3] {
    let mut copy = Tar::default();
    copy.file("copy", 0o755, &vec![b'c'; 1_984_299]);
    let copy = copy.finish();
    let steps = [
        Step { by: "ADD bb.tar / # buildkit", tar: Some(bb) },
        Step { by: "CMD [\"sh\"]", tar: None },
        Step { by: "RUN /bin/sh -c cp /bin/busybox /copy # buildkit", tar: Some(&copy) },
    ];
    let labels = ["\"n\":\"1\"", "\"n\":\"2\"", "\"k3\":\"v3\",\"n\":\"3\""];
    [(first, labels[0]), (second, labels[1]), (third, labels[2])].map(|(created, labels)| {
        let config = format!("{PATH},\"Cmd\":[\"sh\"],\"Labels\":{{{labels}}}");
        Image::built("amd64", created, &config, &steps, "")
    })
}

fn twins(now: &str) -> Vec<Image> {
    ["7d", "7d", "d4", "d4"]
        .iter()
        .enumerate()
        .map(|(at, prefix)| {
            let mut tar = Tar::default();
            tar.file(&format!("twin{at}"), 0o644, b"twin");
            let tar = tar.finish();
            let steps = [Step { by: "COPY twin / # buildkit", tar: Some(&tar) }];
            Image::built("amd64", now, PATH, &steps, prefix)
        })
        .collect()
}
