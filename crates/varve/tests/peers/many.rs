//! Many processes in one store at once.
//!
//! Each runs one command; when it began, when it ended and its exit code are noted. Afterwards
//! there must be an order of the commands, in which none comes before one that had ended when it
//! began, that gives the same exit codes and the same names at the end when they run one by one.
//!
//! Searching for such an order of fifty commands could take for ever. So the names are in groups,
//! and a command touches names of one group only: then there is an order of all commands if there
//! is one for each group (Herlihy and Wing call this locality), and ten are searched in no time.
//! All groups share one image table, and images of all groups share their layers.

use std::{
    collections::{BTreeMap, HashSet},
    thread,
    time::Instant,
};

use varve_testkit::{Image, Registry, Seeded};

use crate::home::Home;

const PROCESSES: usize = 50;
const GROUPS: usize = 5;
/// Images of each group in the registry; as many names in a group are those of its images there.
const IMAGES: usize = 2;
/// Names of a group: those in the registry, and local ones.
const NAMES: usize = 4;
/// Different stacks of layers; there are more images than these.
const STACKS: usize = 3;

/// One command. Images and names are numbers within a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Pull(usize),
    Tag { from: usize, to: usize },
    Remove(usize),
}

/// A command that was run.
#[derive(Debug)]
struct Done {
    group: usize,
    action: Action,
    succeeded: bool,
    began: Instant,
    ended: Instant,
}

/// Which image each name of a group has.
type State = [Option<usize>; NAMES];

/// What a command does to a state when it runs alone; whether it succeeds.
fn apply(action: Action, state: &mut State) -> bool {
    match action {
        Action::Pull(image) => {
            state[image] = Some(image);
            true
        }
        Action::Tag { from, to } => {
            let Some(image) = state[from] else { return false };
            state[to] = Some(image);
            true
        }
        Action::Remove(name) => state[name].take().is_some(),
    }
}

/// As many pulls, tags and removals as make each other fail at times.
fn plan(random: &mut Seeded) -> Vec<(usize, Action)> {
    let mut action = || match random.below(5) {
        0 | 1 => Action::Pull(random.below(IMAGES)),
        2 | 3 => {
            let from = random.below(NAMES);
            Action::Tag { from, to: IMAGES + random.below(NAMES - IMAGES) }
        }
        _ => Action::Remove(random.below(NAMES)),
    };
    (0..PROCESSES).map(|number| (number % GROUPS, action())).collect()
}

/// A registry with the images, and a store.
struct World {
    home: Home,
    registry: Registry,
    /// The number within its group of each image, by ID.
    images: BTreeMap<String, usize>,
}

impl World {
    fn new() -> Self {
        let (home, registry) = (Home::new(), Registry::start());
        let mut images = BTreeMap::new();
        for number in 0..GROUPS * IMAGES {
            let image =
                Image::seeded(70 + (number % STACKS) as u64).label("number", &number.to_string());
            let image = image.layers(2).layer_size_bytes(200 << 10).files(5).build();
            registry.push(&format!("app{number}:1"), &image);
            images.insert(image.id().to_string(), number % IMAGES);
        }
        Self { home, registry, images }
    }

    fn name(&self, group: usize, name: usize) -> String {
        if name < IMAGES {
            let image = group * IMAGES + name;
            self.registry.reference(&format!("app{image}:1")).to_string()
        } else {
            format!("group{group}:local{name}")
        }
    }

    fn run(&self, group: usize, action: Action) -> Done {
        let name = |name| self.name(group, name);
        let words = match action {
            Action::Pull(image) => vec!["pull".to_owned(), "-q".to_owned(), name(image)],
            Action::Tag { from, to } => vec!["tag".to_owned(), name(from), name(to)],
            Action::Remove(number) => vec!["rmi".to_owned(), name(number)],
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let began = Instant::now();
        let ran = self.home.run(&words);
        let ended = Instant::now();
        let said = format!("{words:?}: {}\n{}{}", ran.code, ran.stdout, ran.stderr);
        // Nothing but a name that is not there may make a command fail.
        let missing = ran.stderr.contains("No such image");
        assert_eq!(ran.code, i32::from(missing), "{said}");
        Done { group, action, succeeded: ran.code == 0, began, ended }
    }

    /// Which images the names of a group have now; each must be whole.
    fn state(&self, group: usize) -> State {
        let mut state = State::default();
        for (number, image) in state.iter_mut().enumerate() {
            let name = self.name(group, number);
            let seen = self.home.run(&["image", "inspect", "-f", "{{.Id}}", &name]);
            if seen.code == 0 {
                *image = Some(self.images[seen.stdout.trim()]);
                self.home.ok(&["save", "-o", &self.home.text("whole.tar"), &name]);
            }
        }
        state
    }
}

#[test]
fn fifty_processes_at_once_leave_what_some_order_of_them_would() {
    let (world, mut random) = (&World::new(), Seeded::new());
    for group in 0..GROUPS {
        world.run(group, Action::Pull(0));
        world.run(group, Action::Tag { from: 0, to: IMAGES });
    }
    let start: Vec<State> = (0..GROUPS).map(|group| world.state(group)).collect();

    let done: Vec<Done> = thread::scope(|scope| {
        let started: Vec<_> = plan(&mut random)
            .into_iter()
            .map(|(group, action)| scope.spawn(move || world.run(group, action)))
            .collect();
        started.into_iter().map(|thread| thread.join().expect("a command")).collect()
    });

    world.home.check();
    for (group, start) in start.into_iter().enumerate() {
        let done: Vec<&Done> = done.iter().filter(|done| done.group == group).collect();
        let end = world.state(group);
        assert!(is_some_order(&done, start, end), "no order makes {end:?} of {start:?}: {done:#?}");
    }

    // Without names nothing is left: neither did a crowd lose track of content.
    for id in world.images.keys() {
        if world.home.run(&["image", "inspect", id]).code == 0 {
            world.home.ok(&["rmi", "-f", id]);
        }
    }
    assert!(world.home.blobs().is_empty(), "{:?}", world.home.blobs());
    world.home.check();
}

/// Whether some order of the commands explains their exit codes and the end.
fn is_some_order(done: &[&Done], start: State, end: State) -> bool {
    let all = (1_u64 << done.len()) - 1;
    let mut seen: HashSet<(u64, State)> = HashSet::new();
    let mut pending = vec![(0_u64, start)];
    while let Some((ran, state)) = pending.pop() {
        if ran == all && state == end {
            return true;
        }
        if !seen.insert((ran, state)) {
            continue;
        }
        let left: Vec<usize> = (0..done.len()).filter(|number| ran & (1 << number) == 0).collect();
        let first_end = left.iter().map(|&number| done[number].ended).min();
        for number in left {
            let mut next = state;
            let may_be_next = first_end.is_some_and(|ended| done[number].began <= ended);
            if may_be_next && apply(done[number].action, &mut next) == done[number].succeeded {
                pending.push((ran | 1 << number, next));
            }
        }
    }
    false
}

/// The judge must be able to say no.
#[test]
fn a_lost_update_is_in_no_order() {
    let moment = Instant::now();
    let tag = |to| Done {
        group: 0,
        action: Action::Tag { from: 0, to },
        succeeded: true,
        began: moment,
        ended: moment,
    };
    let (one, other) = (tag(2), tag(3));
    let start = [Some(0), None, None, None];
    assert!(is_some_order(&[&one, &other], start, [Some(0), None, Some(0), Some(0)]));
    assert!(!is_some_order(&[&one, &other], start, [Some(0), None, Some(0), None]));
}
