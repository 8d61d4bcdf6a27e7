//! Images to measure with, made once from Debian's packages and kept below cargo's target directory:
//! as an OCI layout in gzip, as registries have them, and as a docker archive of plain tars.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::run::{is_installed, target};
use crate::suite;
use crate::tar::Tar;

/// Raised when what is made changes, so that nobody measures with old images.
const EDITION: &str = "bench-images-1";
/// Packages whose files make a layer each; with the root 1 GB and 40,000 files together.
const PACKAGES: [&[&str]; 3] = [
    &[
        "gcc-12",
        "g++-12",
        "cpp-12",
        "libgcc-12-dev",
        "libstdc++-12-dev",
        "libc6-dev",
        "binutils-x86-64-linux-gnu",
        "libpython3.11-stdlib",
        "perl-modules-5.36",
        "libpython3.11-dev",
    ],
    &["libllvm14", "libclang-cpp14", "libclang-common-14-dev", "llvm-14", "libnode108"],
    &["golang-1.19-src", "libboost1.74-dev", "python3-scipy", "python3-numpy"],
];
const SMALL_LAYERS: usize = 20;
const SMALL_LAYER_SIZE_BYTES: usize = 200 << 10;
const SMALL_FILES: usize = 60_000;
/// Sizes of small files, in turn: as those of headers and modules.
const SMALL_SIZES_BYTES: [usize; 6] = [150, 600, 1_500, 2_500, 4_000, 7_000];

/// An image in the forms that commands read.
pub(super) struct Image {
    pub(super) name: &'static str,
    /// Its layers as plain tars.
    pub(super) tars: Vec<PathBuf>,
    /// Its layers in gzip, as `gzip -6` makes them.
    pub(super) blobs: Vec<PathBuf>,
    /// An OCI layout of the compressed layers.
    pub(super) layout: PathBuf,
    /// A docker archive of the plain layers; it names the image `bench/NAME:1`.
    pub(super) archive: PathBuf,
}

/// The images, made where they are missing: one layer of 170 MB, four of 1 GB, four but the last
/// one's content, twenty small ones, and one of many small files. What cannot be made is said.
pub(super) fn all() -> Result<Vec<Image>> {
    let directory = target(EDITION)?;
    fs::create_dir_all(&directory)?;
    if let Some(skipped) = suite::debian_root(true)? {
        println!("images to measure with: {skipped}");
        return Ok(Vec::new());
    }
    let maker = Maker { directory };
    let root = maker.layer("root", |tar| {
        fs::copy(target(suite::ROOT)?, tar)?;
        Ok(())
    })?;
    let mut images = vec![maker.image("one", std::slice::from_ref(&root))?];
    if ["apt-get", "dpkg-deb", "tar"].iter().all(|program| is_installed(program)) {
        match maker.packages() {
            Ok(layers) => {
                let four: Vec<PathBuf> = std::iter::once(root.clone()).chain(layers).collect();
                images.push(maker.image("three", &four[..3])?);
                images.push(maker.image("four", &four)?);
            }
            Err(error) => println!("the image of 1 GB: not made: {error:#}"),
        }
    }
    let small: Vec<PathBuf> = (0..SMALL_LAYERS)
        .map(|number| maker.layer(&format!("small{number}"), |tar| small_layer(&root, number, tar)))
        .collect::<Result<_>>()?;
    images.push(maker.image("twenty", &small)?);
    let files = maker.layer("files", |tar| small_files(&root, tar))?;
    images.push(maker.image("files", &[files])?);
    Ok(images)
}

struct Maker {
    directory: PathBuf,
}

impl Maker {
    /// A tar and its compressed form; returns the tar.
    fn layer(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let (tar, blob) =
            (self.directory.join(format!("{name}.tar")), self.directory.join(format!("{name}.gz")));
        if !blob.is_file() {
            println!("making the layer `{name}` to measure with …");
            make(&tar)?;
            let draft = self.directory.join("draft");
            let mut gzip = Command::new("gzip");
            gzip.args(["-6", "-n", "-c"]).arg(&tar).stdout(fs::File::create(&draft)?);
            ensure!(gzip.status()?.success(), "gzip failed");
            fs::rename(draft, blob)?;
        }
        Ok(tar)
    }

    /// One layer of each list of packages.
    fn packages(&self) -> Result<Vec<PathBuf>> {
        let layers = PACKAGES.iter().enumerate().map(|(number, packages)| {
            self.layer(&format!("packages{number}"), |tar| self.unpack(packages, tar))
        });
        layers.collect()
    }

    fn unpack(&self, packages: &[&str], tar: &Path) -> Result<()> {
        let (fetched, tree) = (self.directory.join("fetched"), self.directory.join("tree"));
        for directory in [&fetched, &tree] {
            let _ = fs::remove_dir_all(directory);
            fs::create_dir_all(directory)?;
        }
        let mut fetch = Command::new("apt-get");
        fetch.args(["download", "-qq"]).args(packages).current_dir(&fetched);
        let fetch = fetch.stdin(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(fetch.success(), "`apt-get download` failed");
        let mut files: Vec<PathBuf> =
            fs::read_dir(&fetched)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.sort();
        for file in files {
            let unpacked = Command::new("dpkg-deb").arg("-x").args([&file, &tree]).status()?;
            ensure!(unpacked.success(), "`dpkg-deb` failed");
        }
        let mut pack = Command::new("tar");
        pack.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0"]);
        ensure!(pack.arg("-C").arg(&tree).arg("-cf").arg(tar).arg(".").status()?.success(), "tar");
        for directory in [fetched, tree] {
            fs::remove_dir_all(directory)?;
        }
        Ok(())
    }

    fn image(&self, name: &'static str, tars: &[PathBuf]) -> Result<Image> {
        let layout = self.directory.join(name);
        let image = Image {
            name,
            tars: tars.to_vec(),
            blobs: tars.iter().map(|tar| tar.with_extension("gz")).collect(),
            archive: self.directory.join(format!("{name}.docker.tar")),
            layout,
        };
        if !image.archive.is_file() {
            image.make()?;
        }
        Ok(image)
    }
}

impl Image {
    pub(super) fn blobs_size_bytes(&self) -> Result<u64> {
        self.blobs.iter().map(|blob| Ok(fs::metadata(blob)?.len())).sum()
    }

    fn make(&self) -> Result<()> {
        let _ = fs::remove_dir_all(&self.layout);
        let blobs = self.layout.join("blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let (mut diff_ids, mut layers) = (Vec::new(), Vec::new());
        for (tar, blob) in self.tars.iter().zip(&self.blobs) {
            let digest = sha256(blob)?;
            diff_ids.push(format!("sha256:{}", sha256(tar)?));
            layers.push(json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "digest": format!("sha256:{digest}"), "size": fs::metadata(blob)?.len(),
            }));
            fs::hard_link(blob, blobs.join(digest))?;
        }
        let put = |json: serde_json::Value| -> Result<(String, u64)> {
            let (draft, text) = (self.layout.join("draft"), json.to_string());
            fs::write(&draft, &text)?;
            let digest = sha256(&draft)?;
            fs::rename(draft, blobs.join(&digest))?;
            Ok((digest, text.len() as u64))
        };
        let (config, size) = put(json!({
            "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
            "config": { "Cmd": ["sh"] }, "rootfs": { "type": "layers", "diff_ids": diff_ids },
        }))?;
        let (manifest, manifest_size) = put(json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": format!("sha256:{config}"), "size": size,
            },
            "layers": layers,
        }))?;
        let index = json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{manifest}"), "size": manifest_size,
            "annotations": {
                "org.opencontainers.image.ref.name": format!("bench/{}:1", self.name),
            },
        }]});
        fs::write(self.layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs::write(self.layout.join("index.json"), index.to_string())?;
        self.make_archive(&fs::read(blobs.join(&config))?, &config)
    }

    fn make_archive(&self, config: &[u8], digest: &str) -> Result<()> {
        let draft = self.archive.with_extension("draft");
        let mut archive = fs::File::create(&draft)?;
        let mut names = Vec::new();
        for (number, tar) in self.tars.iter().enumerate() {
            let name = format!("{number}/layer.tar");
            let size = fs::metadata(tar)?.len();
            archive.write_all(&Tar::header(&name, "0000644", size))?;
            std::io::copy(&mut fs::File::open(tar)?, &mut archive)?;
            archive.write_all(&vec![0; (size.next_multiple_of(512) - size) as usize])?;
            names.push(name);
        }
        let mut rest = Tar::default();
        let config_name = format!("{digest}.json");
        rest.file(&config_name, config);
        let manifest = json!([{
            "Config": config_name, "RepoTags": [format!("bench/{}:1", self.name)], "Layers": names,
        }]);
        rest.file("manifest.json", manifest.to_string().as_bytes());
        archive.write_all(&rest.finish())?;
        fs::rename(draft, &self.archive)?;
        Ok(())
    }
}

/// A layer of one file out of the middle of the root.
fn small_layer(root: &Path, number: usize, tar: &Path) -> Result<()> {
    let content = slice(root, number)?;
    let mut layer = Tar::default();
    layer.file(&format!("opt/part{number}"), &content);
    Ok(fs::write(tar, layer.finish())?)
}

fn slice(root: &Path, number: usize) -> Result<Vec<u8>> {
    use std::os::unix::fs::FileExt as _;
    let mut content = vec![0; SMALL_LAYER_SIZE_BYTES];
    fs::File::open(root)?.read_exact_at(&mut content, ((20 + number) << 20) as u64)?;
    Ok(content)
}

/// A layer of many small files, cut from the root.
fn small_files(root: &Path, tar: &Path) -> Result<()> {
    let bytes = fs::read(root)?;
    let mut layer = Tar::default();
    for number in 0..SMALL_FILES {
        let size = SMALL_SIZES_BYTES[number % SMALL_SIZES_BYTES.len()];
        let at = number * 2_600 % (bytes.len() - size);
        let name = format!("usr/lib/package{}/part{}/file{number}", number / 2_000, number / 50);
        layer.file(&name, &bytes[at..at + size]);
    }
    Ok(fs::write(tar, layer.finish())?)
}

fn sha256(path: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(path).output().context("sha256sum")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split_whitespace().next().context("sha256sum printed nothing")?.to_owned())
}
