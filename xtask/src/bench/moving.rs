//! What moving images costs: pull, push, load, save and removal, beside other programs that do the
//! same and beside what the machine can do at all.
//!
//! Each store and registry is a directory of its own on the disk that the target directory is on;
//! files that are read lie in the page cache. Limits stand last in their group.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::images::{self, Image};
use super::turns::{Report, Target, Way};
use super::{Background, Bench, loopback, peak};
use crate::run::is_installed;

const OTHERS: [&str; 4] = ["docker", "podman", "skopeo", "buildah"];
/// Names of one command that may not wait for more than this when it starts.
const PAUSE: Duration = Duration::from_millis(300);
const RELATED: usize = 10;

/// How often each is measured.
#[derive(Clone, Copy)]
pub(super) struct Often {
    pub(super) ours: usize,
    /// Others may take a minute for one; 0 leaves them out.
    pub(super) others: usize,
}

struct Moving<'a> {
    bench: &'a Bench,
    registry: String,
    often: Often,
    podman: Option<Podman>,
}

/// Podman with directories of its own.
#[derive(Clone)]
struct Podman(PathBuf);

impl Podman {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("podman");
        command.arg("--root").arg(self.0.join("root")).arg("--runroot").arg(self.0.join("run"));
        command.args(["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs"]).args(words);
        command
    }

    fn clear(&self) -> Result<()> {
        self.command(&["rmi", "--all", "--force"]).output()?;
        Ok(())
    }
}

/// Measures and prints all of it.
pub(super) fn moving(bench: &Bench, report: &mut Report, often: Often) -> Result<()> {
    let images = images::all()?;
    let registry = loopback()?;
    let _serving = bench.registry(&registry)?;
    for image in &images {
        fill(bench, &registry, image)?;
    }
    for other in OTHERS {
        let state = match (is_installed(other), other) {
            (false, _) => "absent",
            (true, "docker") => "measured only where a daemon answers: not here",
            (true, _) if often.others == 0 => "left out",
            (true, _) => "measured",
        };
        println!("  {other:<44} {state}");
    }
    let podman = is_installed("podman") && often.others > 0;
    let podman = podman.then(|| Podman(bench.directory.join("podman")));
    let moving = Moving { bench, registry, often, podman };
    for image in &images {
        moving.pull(report, image)?;
    }
    let Some(large) = images.iter().find(|image| image.name == "four") else { return Ok(()) };
    if let Some(part) = images.iter().find(|image| image.name == "three") {
        moving.partial_pull(report, large, part)?;
    }
    moving.load(report, large)?;
    moving.save(report, large)?;
    moving.push(report, large)?;
    moving.push_built(report, &images[0])?;
    moving.removal(report, large)?;
    moving.peaks(large)?;
    moving.disk(&images[0], report)
}

/// Puts an image into the registry as it is.
fn fill(bench: &Bench, registry: &str, image: &Image) -> Result<()> {
    let layout = image.layout.to_string_lossy().into_owned();
    bench.varve("fill", &["load", "--quiet", "--input", &layout])?;
    let name = format!("{registry}/bench/{}:1", image.name);
    bench.varve("fill", &["tag", &format!("bench/{}:1", image.name), &name])?;
    bench.varve("fill", &["push", "--quiet", &name])?;
    let _ = fs::remove_dir_all(bench.directory.join("fill"));
    Ok(())
}

impl Moving<'_> {
    fn name(&self, image: &Image) -> String {
        format!("{}/bench/{}:1", self.registry, image.name)
    }

    fn ours(&self, name: &str, store: &str, words: &[&str]) -> Way {
        Way::new(name, self.often.ours, self.bench.words(store, words))
    }

    fn limit(&self, name: &str, script: &str, files: &[PathBuf]) -> Way {
        let (script, files) = (script.to_owned(), files.to_vec());
        let directory = self.bench.directory.clone();
        let command = move || {
            let mut command = Command::new("bash");
            command.args(["-e", "-o", "pipefail", "-c", &script, "bash"]).args(&files);
            command.current_dir(&directory);
            command
        };
        let scratch = self.bench.directory.join("limit");
        Way::new(name, self.often.ours, Box::new(command)).after(move || {
            let _ = fs::remove_dir_all(&scratch);
            Ok(fs::create_dir(&scratch)?)
        })
    }

    /// Podman's way, with nothing in its store.
    fn podman(&self, words: &[&str], fresh: bool) -> Option<Way> {
        let podman = self.podman.clone()?;
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let (command, clear) = (podman.clone(), podman);
        let name = format!("podman {}", words[0]);
        let command =
            move || command.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let way = Way::new(&name, self.often.others, Box::new(command));
        Some(if fresh { way.after(move || clear.clear()) } else { way })
    }

    /// A removed store or file before each run.
    fn without(&self, file: &str) -> impl Fn() -> Result<()> + 'static {
        let path = self.bench.directory.join(file);
        move || {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            Ok(())
        }
    }

    fn pull(&self, report: &mut Report, image: &Image) -> Result<()> {
        let name = self.name(image);
        let mut ways = vec![self.ours("varve", "cold", &["pull", "--quiet", &name])];
        ways[0].prepare = Box::new(self.without("cold"));
        ways.extend(self.podman(&["pull", "--quiet", "--tls-verify=false", &name], true));
        if is_installed("skopeo") && self.often.others > 0 {
            let (from, to) = (format!("docker://{name}"), "oci:copied:1");
            let (from, directory) = (from.clone(), self.bench.directory.clone());
            let command = move || {
                let mut command = Command::new("skopeo");
                command.args(["copy", "--quiet", "--src-tls-verify=false", &from, to]);
                command.current_dir(&directory);
                command
            };
            let way =
                Way::new("skopeo copy (nothing unpacked)", self.often.others, Box::new(command));
            ways.push(way.after(self.without("copied")));
        }
        let inflate = if is_installed("igzip") { "igzip" } else { "gzip" };
        // Two at once: what one core could not do, the other one does.
        let script = format!(
            "each() {{ for blob; do at=limit/${{blob##*/}}; \
               tee $at >(openssl dgst -sha256 >/dev/null) < \"$blob\" | {inflate} -dc \
               | tee $at.tar | openssl dgst -sha256 >/dev/null; done; }}; \
             odd=() even=() turn=0; for blob; do if ((turn++ % 2)); then odd+=(\"$blob\"); \
             else even+=(\"$blob\"); fi; done; each \"${{odd[@]}}\" & each \"${{even[@]}}\"; wait; \
             sync -f limit"
        );
        let limit = format!("limit: {inflate}, two sums, one write, sync");
        ways.push(self.limit(&limit, &script, &image.blobs));
        report.group(&format!("pull, {}", image.name), ways, Target::OfLast(1.3)).map(drop)
    }

    fn partial_pull(&self, report: &mut Report, large: &Image, part: &Image) -> Result<()> {
        let (all, three) = (self.name(large), self.name(part));
        let mut ways = vec![self.ours("varve", "part", &["pull", "--quiet", &all])];
        let words = self.bench.words("part", &["pull", "--quiet", &three]);
        let clear = self.without("part");
        ways[0].prepare = Box::new(move || {
            clear()?;
            ensure!(words().status()?.success(), "the pull of three layers failed");
            Ok(())
        });
        // The last layer alone.
        let last = &large.blobs[large.blobs.len() - 1..];
        let inflate = if is_installed("igzip") { "igzip" } else { "gzip" };
        let script = format!(
            "tee limit/gz >(openssl dgst -sha256 >/dev/null) < \"$1\" | {inflate} -dc | tee limit/tar \
             | openssl dgst -sha256 >/dev/null; sync -f limit"
        );
        ways.push(self.limit("limit: the same of that layer", &script, last));
        report.group("pull, three of four layers here", ways, Target::OfLast(1.3)).map(drop)
    }

    fn load(&self, report: &mut Report, image: &Image) -> Result<()> {
        let archive = image.archive.to_string_lossy().into_owned();
        let mut ways = vec![self.ours("varve", "cold", &["load", "--quiet", "--input", &archive])];
        ways[0].prepare = Box::new(self.without("cold"));
        ways.extend(self.podman(&["load", "--quiet", "--input", &archive], true));
        let script =
            "openssl dgst -sha256 \"$1\" >/dev/null & cp \"$1\" limit/copy; sync -f limit; wait";
        let limit = self.limit(
            "limit: cp, sync; a sum beside it",
            script,
            std::slice::from_ref(&image.archive),
        );
        ways.push(limit);
        report.group("load of plain layers, four", ways, Target::OfLast(1.3)).map(drop)
    }

    fn save(&self, report: &mut Report, image: &Image) -> Result<()> {
        let archive = image.archive.to_string_lossy().into_owned();
        self.without("kept")()?;
        self.bench.varve("kept", &["load", "--quiet", "--input", &archive])?;
        let words = ["save", "--output", "saved.tar", "bench/four:1"];
        let mut ways = vec![self.ours("varve", "kept", &words)];
        ways[0].prepare = Box::new(self.without("saved.tar"));
        if let Some(podman) = &self.podman {
            podman.clear()?;
            let loaded = podman.command(&["load", "--quiet", "--input", &archive]).output()?;
            ensure!(loaded.status.success(), "podman cannot load the image");
            let saved = self.bench.directory.join("podman.tar");
            let to = saved.to_string_lossy().into_owned();
            let way = self.podman(&["save", "--quiet", "--output", &to, "bench/four:1"], false);
            ways.extend(way.map(|way| way.after(self.without("podman.tar"))));
        }
        let script = "cp \"$1\" limit/copy; sync -f limit";
        ways.push(self.limit("limit: cp, sync", script, std::slice::from_ref(&image.archive)));
        let done = report.group("save, four", ways, Target::OfLast(1.3));
        self.without("saved.tar")()?;
        self.without("kept")()?;
        done.map(drop)
    }

    /// Each time to a registry that has nothing.
    fn push(&self, report: &mut Report, image: &Image) -> Result<()> {
        let name = self.name(image);
        self.without("kept")()?;
        self.bench.varve("kept", &["pull", "--quiet", &name])?;
        let address = loopback()?;
        let to = format!("{address}/new/four:1");
        self.bench.varve("kept", &["tag", &name, &to])?;
        let mut ways = vec![self.ours("varve", "kept", &["push", "--quiet", &to])];
        let directory = self.bench.directory.clone();
        let serving = std::cell::RefCell::new(None::<Background>);
        let serve = self
            .bench
            .words("serve", &["registry", "serve", "--listen", &address, "--root", "new-registry"]);
        ways[0].prepare = Box::new(move || {
            serving.take();
            let _ = fs::remove_dir_all(directory.join("new-registry"));
            *serving.borrow_mut() = Some(Background(serve().spawn()?));
            std::thread::sleep(PAUSE);
            Ok(())
        });
        let script = "for blob; do cp \"$blob\" limit/copy; openssl dgst -sha256 \"$blob\" >/dev/null; \
                      openssl dgst -sha256 limit/copy >/dev/null & done; wait; sync -f limit";
        let limit = "limit: cp, sync, a sum here and one there";
        ways.push(self.limit(limit, script, &image.blobs));
        report.group("push as pulled, four", ways, Target::OfLast(1.3))?;
        self.without("kept")()
    }

    fn push_built(&self, report: &mut Report, image: &Image) -> Result<()> {
        let tar = image.tars[0].to_string_lossy().into_owned();
        let (words, clear) = (["import", tar.as_str(), "PLACE"], self.without("kept"));
        let to = format!("{}/built/one:1", self.registry);
        let import = self.bench.words("kept", &[words[0], words[1], &to]);
        let mut ways = vec![self.ours("varve", "kept", &["push", "--quiet", &to])];
        let registry = self.bench.directory.join("registry");
        ways[0].prepare = Box::new(move || {
            clear()?;
            // What is there already is not compressed again.
            let _ = fs::remove_dir_all(registry.join("built"));
            ensure!(import().status()?.success(), "the import failed");
            Ok(())
        });
        let (name, script) = if is_installed("pigz") {
            ("pigz -6, all cores", "pigz -6 -c \"$1\" > limit/gz")
        } else {
            ("gzip -6, one core", "gzip -6 -c \"$1\" > limit/gz")
        };
        ways.push(self.limit(name, script, &image.tars));
        report.group("push of a built layer, 170 MB", ways, Target::OfLast(1.0))?;
        let blobs = fs::read_dir(self.bench.directory.join("kept/blobs/sha256"))?;
        let mut sizes: Vec<u64> =
            blobs.map(|blob| Ok(blob?.metadata()?.len())).collect::<Result<_>>()?;
        sizes.sort_unstable();
        let ratio = sizes[sizes.len() - 2] as f64 / image.blobs_size_bytes()? as f64;
        println!("  its size beside `gzip -6`: {ratio:.3} (target 1.03)");
        report.compare("size of a built layer beside gzip -6", ratio);
        self.without("kept")()
    }

    fn removal(&self, report: &mut Report, image: &Image) -> Result<()> {
        let name = self.name(image);
        for (title, backend) in
            [("rmi, four", "auto"), ("rmi, four, directory backend", "directory")]
        {
            let words = ["--storage-backend", backend, "rmi", "--force", &name];
            let mut ways = vec![self.ours("varve", "kept", &words)];
            let pull = self.bench.words("kept", &["pull", "--quiet", &name]);
            let mount = ["--storage-backend", backend, "image", "mount", &name];
            let unmount = ["--storage-backend", backend, "image", "unmount", &name];
            let [mount, unmount] = [mount, unmount].map(|words| self.bench.words("kept", &words));
            ways[0].prepare = Box::new(move || {
                ensure!(pull().status()?.success(), "the pull failed");
                // What a container would have made of it: extracted files, with this backend.
                let _ = mount().status()?.success() && unmount().status()?.success();
                Ok(())
            });
            if let Some(podman) = &self.podman {
                let (podman, name) = (podman.clone(), name.clone());
                ways.extend(self.podman(&["rmi", "--force", &name], false).map(|way| {
                    way.after(move || {
                        let words = ["pull", "--quiet", "--tls-verify=false", &name];
                        ensure!(podman.command(&words).output()?.status.success(), "podman pull");
                        Ok(())
                    })
                }));
            }
            report.group(title, ways, Target::Milliseconds(100.0))?;
            self.without("kept")()?;
        }
        Ok(())
    }

    /// The most memory that each held, of the image of 1 GB.
    fn peaks(&self, image: &Image) -> Result<()> {
        println!("\npeak memory, four (target: 64 MB)");
        self.without("kept")()?;
        let (name, archive) = (self.name(image), image.archive.to_string_lossy().into_owned());
        let built = format!("{}/built/peak:1", self.registry);
        for words in [
            ["pull", "--quiet", &name].as_slice(),
            &["load", "--quiet", "--input", &archive],
            &["save", "--output", "saved.tar", "bench/four:1"],
            &["tag", "bench/four:1", &built],
            &["push", "--quiet", &built],
        ] {
            let kib = peak(&mut self.bench.command("kept", words).spawn()?)?;
            println!("  {:<44} {:>7} MB", words[0], kib / 1024);
        }
        self.without("saved.tar")()?;
        self.without("kept")()
    }

    /// What ten images that share their base take on disk.
    fn disk(&self, base: &Image, report: &mut Report) -> Result<()> {
        println!("\ndisk, ten images on one base of 170 MB, pulled");
        let from = format!("{}/related/", self.registry);
        self.without("kept")()?;
        let context = self.bench.directory.join("related");
        fs::create_dir_all(&context)?;
        let archive = base.layout.to_string_lossy().into_owned();
        self.bench.varve("fill", &["load", "--quiet", "--input", &archive])?;
        for number in 0..RELATED {
            fs::write(context.join("part"), slice_of(&base.tars[0], number)?)?;
            fs::write(context.join("Dockerfile"), "FROM bench/one:1\nCOPY part /opt/part\n")?;
            let name = format!("{from}{number}:1");
            self.bench.varve("fill", &["build", "--quiet", "--tag", &name, "related"])?;
            self.bench.varve("fill", &["push", "--quiet", &name])?;
            self.bench.varve("kept", &["pull", "--quiet", &name])?;
        }
        let ours = used(&self.bench.directory.join("kept"))?;
        println!("  {:<44} {:>7} MB", "varve", ours >> 20);
        self.bench.varve("kept", &["system", "prune", "--unpacked", "--force"])?;
        std::thread::sleep(PAUSE);
        let dropped = used(&self.bench.directory.join("kept"))?;
        println!("  {:<44} {:>7} MB", "varve, unpacked layers dropped", dropped >> 20);
        if let Some(podman) = &self.podman {
            podman.clear()?;
            for number in 0..RELATED {
                let name = format!("{from}{number}:1");
                podman.command(&["pull", "--quiet", "--tls-verify=false", &name]).output()?;
            }
            let theirs = used(&podman.0)?;
            println!("  {:<44} {:>7} MB", "podman (overlay)", theirs >> 20);
            podman.clear()?;
        }
        report.compare("disk of ten related images, beside the base's blob", {
            ours as f64 / base.blobs_size_bytes()? as f64
        });
        self.without("fill")()?;
        self.without("kept")()
    }
}

/// Some bytes of a layer, others for each number.
fn slice_of(tar: &Path, number: usize) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut bytes = vec![0; 2 << 20];
    fs::File::open(tar)?.read_exact_at(&mut bytes, ((10 + 4 * number) << 20) as u64)?;
    Ok(bytes)
}

/// Bytes of disk that a directory takes; what has several names counts once.
fn used(directory: &Path) -> Result<u64> {
    let output = Command::new("du").args(["-s", "-B1"]).arg(directory).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}
