//! Which times the files have that a program sees.
//!
//! Compilers judge by time what is to be made anew. A layer from the cache has the times of when it was
//! made, so what is brought back can be older than what was made meanwhile of something else: in a
//! cache mount, or by a program in a layer below. Times are therefore settled for each use:
//!
//! 1. A file has the time of its layer, unless the following says otherwise.
//! 2. A copy that replaces other content of layers below is later than what programs left there.
//! 3. What the last program that changed a cache mount saw with the same content, where it is seen
//!    now, has the time that it had then.
//! 4. Where that program saw other content, or nothing, the file is later than all that was left in
//!    the mount.
//! 5. Of two files, the one that is later by its layer (or by 2) is later here. So files that are
//!    later than one that 4 makes later become later, too: what is newer than its source stays so.
//!
//! Where programs and packages set times by themselves, these mean something else and are left alone:
//! of what programs leave, and of what is copied from them, files count that are not older than the
//! build's time; of images the latest ones of each layer, as a build leaves them.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
};

use varve_fs::{
    stack::{FileReader, Stack},
    tar::Time,
    tree::{Content, FileBytes, InodeId, Tree},
};
use varve_store::{Before, RealTimes, SeenFile, Store};
use varve_types::{Digest, Kind};

use super::{BuildLayer, Fault, LayerOrigin, layer_files::digest_of};

/// What keeps apart the times of files that become later together.
const STEP_NANOSECONDS: u32 = 1_000;

/// Files that a program sees.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Where, without a slash at the end; the root is empty.
    pub at: &'a str,
    /// Their layers, the lowest first, in the store and pinned.
    pub layers: &'a [BuildLayer],
}

/// The times that a program is to see.
#[derive(Debug, Default)]
pub struct Shown {
    /// Of each place, of each layer, the files that get other times than the layer gives them, by
    /// path in the layer.
    pub times: Vec<Vec<RealTimes>>,
    /// What is to be told to the cache mounts that the program uses.
    pub files: BTreeMap<Vec<u8>, SeenFile>,
}

/// Settles the times of files at these places, for a program that uses cache mounts of which this is
/// known. `epoch` is the build's time.
pub fn shown_times(
    store: &Store,
    places: &[Place<'_>],
    before: &[Before],
    epoch: Time,
) -> Result<Shown, Fault> {
    let mut files = Vec::new();
    for (number, place) in places.iter().enumerate() {
        if before.is_empty() && !may_replace(place.layers) {
            continue;
        }
        let seen = SeenPlace::open(store, place)?;
        seen.view(number, before, epoch, &mut files)?;
    }
    settle(&mut files, before);
    let empty = |place: &Place<'_>| vec![RealTimes::new(); place.layers.len()];
    let mut shown = Shown { times: places.iter().map(empty).collect(), files: BTreeMap::new() };
    let mut latest: HashMap<(usize, InodeId), Time> = HashMap::new();
    for file in &files {
        // A file with several names has one time.
        let time = latest.entry((file.place, file.inode)).or_insert(file.shown);
        *time = file.shown.max(*time);
    }
    for file in files {
        let time = latest[&(file.place, file.inode)];
        let place = &places[file.place];
        if time != file.own {
            let path = file.seen[place.at.len() + 1..].to_vec();
            shown.times[file.place][file.layer].insert(path, time);
        }
        if let Some(digest) = file.digest {
            let layer = place.layers[file.layer].diff_id;
            shown.files.insert(file.seen, SeenFile { layer, digest, time });
        }
    }
    Ok(shown)
}

/// Whether copies lie above what programs left.
fn may_replace(layers: &[BuildLayer]) -> bool {
    let above = layers.iter().skip_while(|layer| layer.origin != LayerOrigin::Program);
    above.into_iter().any(|layer| is_copy(layer.origin))
}

fn is_copy(origin: LayerOrigin) -> bool {
    matches!(origin, LayerOrigin::Copied | LayerOrigin::Context)
}

fn seen_path(at: &str, path: &[u8]) -> Vec<u8> {
    [at.as_bytes(), b"/", path].concat()
}

/// A file that a program sees, whose time counts.
#[derive(Debug)]
struct Viewed {
    place: usize,
    /// Its layer, counted from the lowest of its place.
    layer: usize,
    inode: InodeId,
    /// The path at which it is seen.
    seen: Vec<u8>,
    /// The time that its layer gives it.
    own: Time,
    /// When programs below left what it comes after, if that is not earlier.
    below: Option<Time>,
    /// Of its bytes; had only where cache mounts are used.
    digest: Option<Digest>,
    /// The time that it is shown with.
    shown: Time,
}

impl Viewed {
    /// What decides which file is later.
    fn rank(&self) -> (Time, Time) {
        (self.below.map_or(self.own, after), self.own)
    }
}

/// The layers of a place.
struct SeenPlace<'a> {
    place: &'a Place<'a>,
    trees: Vec<Tree>,
    tars: Vec<File>,
    stack: Stack,
}

impl<'a> SeenPlace<'a> {
    fn open(store: &Store, place: &'a Place<'a>) -> Result<Self, Fault> {
        let (mut trees, mut tars) = (Vec::new(), Vec::new());
        for BuildLayer { diff_id, times, .. } in place.layers {
            let index = match times {
                Some(times) => store.open_times_of(diff_id, times),
                None => store.open_layer_index(diff_id),
            };
            let index = index.map_err(|error| Fault::new(error.kind(), error))?;
            trees.push(index.tree().map_err(|error| Fault::new(error.kind(), error))?);
            tars.push(store.open_layer_tar(diff_id).map_err(|e| Fault::new(e.kind(), e))?);
        }
        let stack = Stack::merge(&trees.iter().collect::<Vec<_>>());
        let stack = stack.map_err(|error| Fault::new(error.kind(), error))?;
        Ok(Self { place, trees, tars, stack })
    }

    /// Adds the files whose times count, or those only that replace others.
    fn view(
        &self,
        number: usize,
        before: &[Before],
        epoch: Time,
        files: &mut Vec<Viewed>,
    ) -> Result<(), Fault> {
        let all = !before.is_empty();
        let latest: Vec<Time> = self.trees.iter().map(latest_file).collect();
        let mut walk = self.stack.tree().walk();
        while let Some((path, inode)) = walk.next() {
            let Content::File(bytes) = &self.stack.tree().inode(inode).content else { continue };
            let (layer, own) = (self.stack.layer(inode), self.stack.tree().inode(inode).mtime);
            let origin = self.place.layers[layer].origin;
            let counts = match origin {
                LayerOrigin::Context => true,
                LayerOrigin::Program | LayerOrigin::Copied => own >= epoch,
                LayerOrigin::Image => own >= latest[layer],
            };
            if !counts {
                continue;
            }
            let below = if is_copy(origin) {
                self.replaced(layer, path, bytes, own, &latest)?
            } else {
                None
            };
            if !all && below.is_none() {
                continue;
            }
            let digest = match self.known(layer, path, before) {
                None if all => Some(self.digest(layer, bytes)?),
                known => known,
            };
            let (seen, shown) = (seen_path(self.place.at, path), below.map_or(own, after));
            files.push(Viewed { place: number, layer, inode, seen, own, below, digest, shown });
        }
        Ok(())
    }

    /// When programs left what lies below a copied file, if that file replaces other content and is
    /// not later.
    fn replaced(
        &self,
        layer: usize,
        path: &[u8],
        bytes: &FileBytes,
        own: Time,
        latest: &[Time],
    ) -> Result<Option<Time>, Fault> {
        let lower = &self.place.layers[..layer];
        let programs = lower.iter().zip(latest).filter(|(it, _)| it.origin == LayerOrigin::Program);
        let Some(left) = programs.map(|(_, latest)| *latest).max().filter(|left| *left >= own)
        else {
            return Ok(None);
        };
        for (number, tree) in self.trees[..layer].iter().enumerate().rev() {
            let Some(id) = tree.lookup(path) else { continue };
            let is_same = match &tree.inode(id).content {
                Content::File(there) if there.size == bytes.size => {
                    self.digest(number, there)? == self.digest(layer, bytes)?
                }
                _ => false,
            };
            return Ok((!is_same).then_some(left));
        }
        Ok(None)
    }

    /// The digest of a file, where a cache mount's last user saw it in this layer.
    fn known(&self, layer: usize, path: &[u8], before: &[Before]) -> Option<Digest> {
        let (path, layer) = (seen_path(self.place.at, path), self.place.layers[layer].diff_id);
        let sights = before.iter().filter_map(|before| before.sight.as_ref());
        let mut seen = sights.filter_map(|sight| sight.files.get(&path));
        seen.find(|seen| seen.layer == layer).map(|seen| seen.digest)
    }

    fn digest(&self, layer: usize, bytes: &FileBytes) -> Result<Digest, Fault> {
        let digest = digest_of(&mut FileReader::new(bytes, &self.tars[layer]));
        digest.map_err(|error| Fault::new(Kind::Internal, error))
    }
}

/// The latest time of any file.
fn latest_file(tree: &Tree) -> Time {
    let mut latest = Time { seconds: i64::MIN, nanoseconds: 0 };
    let mut walk = tree.walk();
    while let Some((_, id)) = walk.next() {
        let inode = tree.inode(id);
        if matches!(inode.content, Content::File(_)) {
            latest = latest.max(inode.mtime);
        }
    }
    latest
}

/// The next time that can be told from this one.
fn after(time: Time) -> Time {
    let nanoseconds = time.nanoseconds + STEP_NANOSECONDS;
    match nanoseconds.checked_sub(1_000_000_000) {
        Some(nanoseconds) => Time { seconds: time.seconds.saturating_add(1), nanoseconds },
        None => Time { nanoseconds, ..time },
    }
}

/// Settles which times the files are shown with.
fn settle(files: &mut [Viewed], before: &[Before]) {
    let now = before.iter().map(|before| before.now).max().unwrap_or_default();
    // The last of them is not to be later than now: compilers would wonder.
    let late = back(now, files.len());
    for file in files.iter_mut() {
        let (mut same, mut until) = (None, None);
        for sight in before.iter().filter_map(|before| before.sight.as_ref()) {
            match sight.files.get(&file.seen) {
                Some(seen) if Some(seen.digest) == file.digest => same = same.max(Some(seen.time)),
                _ => until = until.max(Some(sight.until)),
            }
        }
        if let Some(time) = same {
            file.shown = file.below.map_or(time, |below| time.max(after(below)));
        }
        if let Some(until) = until.filter(|until| file.shown <= *until) {
            file.shown = late.max(after(until));
        }
    }
    files.sort_by_key(|file| (file.rank(), file.shown));
    let mut last: Option<((Time, Time), Time)> = None;
    for file in files {
        let floor =
            last.map(|(rank, shown)| if rank == file.rank() { shown } else { after(shown) });
        file.shown = file.shown.max(floor.unwrap_or(file.shown));
        last = Some((file.rank(), file.shown));
    }
}

/// A time so many steps earlier.
fn back(time: Time, steps: usize) -> Time {
    let nanoseconds = (steps as u64).saturating_mul(STEP_NANOSECONDS.into());
    let seconds = nanoseconds.div_ceil(1_000_000_000);
    let rest = (seconds * 1_000_000_000 - nanoseconds) as u32;
    let earlier = Time { seconds: time.seconds.saturating_sub_unsigned(seconds), ..time };
    let nanoseconds = earlier.nanoseconds + rest;
    match nanoseconds.checked_sub(1_000_000_000) {
        Some(nanoseconds) => Time { seconds: earlier.seconds.saturating_add(1), nanoseconds },
        None => Time { nanoseconds, ..earlier },
    }
}

#[cfg(test)]
mod tests {
    use varve_store::Sight;
    use varve_types::DiffId;

    use super::*;

    const fn at(seconds: i64) -> Time {
        Time { seconds, nanoseconds: 0 }
    }

    /// A file with this content, to which its layer gives this time.
    fn file(path: &str, content: &str, second: i64) -> Viewed {
        let (seen, digest) = (path.as_bytes().to_vec(), Some(Digest::of(content.as_bytes())));
        let (inode, own) = (Tree::ROOT, at(second));
        Viewed { place: 0, layer: 0, inode, seen, own, below: None, digest, shown: own }
    }

    /// What a program saw, of which the last was made in second `until`.
    fn before(until: i64, files: &[(&str, &str, i64)]) -> Before {
        let seen = |(path, content, second): &(&str, &str, i64)| {
            let digest = Digest::of(content.as_bytes());
            let seen = SeenFile { layer: DiffId(digest), digest, time: at(*second) };
            (path.as_bytes().to_vec(), seen)
        };
        let sight = Sight { until: at(until), files: files.iter().map(seen).collect() };
        Before { sight: Some(sight), now: at(1000) }
    }

    /// The order of the files by their times, with these in seconds; `*` is now, and `~` what was not
    /// changed.
    #[track_caller]
    fn check(mut files: Vec<Viewed>, before: &[Before], expected: &[&str]) {
        settle(&mut files, before);
        files.sort_by_key(|file| file.shown);
        let text = |file: &Viewed| {
            let time = match file.shown {
                shown if shown == file.own => "~".to_owned(),
                shown if shown > at(990) => "*".to_owned(),
                Time { seconds, .. } => seconds.to_string(),
            };
            format!("{} {time}", String::from_utf8_lossy(&file.seen))
        };
        let shown: Vec<String> = files.iter().map(text).collect();
        assert_eq!(shown, expected);
        assert!(files.iter().all(|file| file.shown <= at(1000)), "{files:?}");
    }

    #[test]
    fn files_have_their_own_times_where_nothing_was_made_of_others() {
        let files = || vec![file("/b", "b", 20), file("/a", "a", 10)];
        check(files(), &[], &["/a ~", "/b ~"]);
        check(files(), &[Before { sight: None, now: at(1000) }], &["/a ~", "/b ~"]);
        check(files(), &[before(15, &[("/a", "a", 10), ("/b", "old", 12)])], &["/a ~", "/b ~"]);
    }

    #[test]
    fn other_content_is_later_than_all_that_was_made_and_the_same_is_as_it_was() {
        let files = || vec![file("/a", "a", 10), file("/b", "b", 20)];
        check(files(), &[before(50, &[("/a", "a", 5), ("/b", "old", 6)])], &["/a 5", "/b *"]);
        check(files(), &[before(50, &[("/a", "a", 5)])], &["/a 5", "/b *"]);
        // Touched, or brought back: nothing is made of it again.
        check(files(), &[before(50, &[("/a", "a", 5), ("/b", "b", 60)])], &["/a 5", "/b 60"]);
    }

    #[test]
    fn what_is_later_stays_later() {
        let files =
            vec![file("/source", "old", 10), file("/object", "x", 20), file("/more", "y", 5)];
        let before = before(50, &[("/source", "new", 6), ("/object", "x", 20), ("/more", "y", 5)]);
        check(files, &[before], &["/more ~", "/source *", "/object *"]);
    }

    #[test]
    fn every_mount_is_asked() {
        let files = || vec![file("/a", "a", 10)];
        let (same, other) = (before(50, &[("/a", "a", 30)]), before(20, &[("/a", "b", 5)]));
        check(files(), &[same.clone(), other], &["/a 30"]);
        let other = before(40, &[("/a", "b", 5)]);
        check(files(), &[same.clone(), other.clone()], &["/a *"]);
        check(files(), &[other, same], &["/a *"]);
    }

    #[test]
    fn what_replaces_something_is_later_than_programs_below() {
        let replacing = Viewed { below: Some(at(30)), shown: after(at(30)), ..file("/a", "a", 10) };
        let files = vec![replacing, file("/object", "x", 30), file("/late", "y", 40)];
        check(files, &[], &["/object ~", "/a 30", "/late ~"]);
    }

    #[test]
    fn steps_carry_into_seconds() {
        let end = Time { seconds: 7, nanoseconds: 999_999_500 };
        assert_eq!(after(end), Time { seconds: 8, nanoseconds: 500 });
        assert_eq!(back(after(end), 1), end);
        assert_eq!(back(at(10), 2_500_000), Time { seconds: 7, nanoseconds: 500_000_000 });
        assert_eq!(back(at(10), 0), at(10));
    }
}
