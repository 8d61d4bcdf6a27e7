//! `varve registry serve` stopped at each call that changes its disk while an image is pushed to it.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use varve_testkit::{
    namespace::alone,
    torture::{Plan, Tally},
};
use varve_types::Digest;

use crate::{
    frames::{Loss, Recorder, Tree},
    judge::told,
    overseer::Answer,
    stage::{Place, Stage},
    verbs,
};

/// Calls that are tried in the short form, of each kind of stop.
const SOME: usize = 4;
const START_TIME_MAX: Duration = Duration::from_mins(1);

struct Server<'a> {
    stage: &'a Stage,
    /// Whose image is pushed.
    client: &'a Place,
    port: u16,
}

impl Server<'_> {
    fn command(&self, data: &Place) -> std::process::Command {
        let root = data.store().display().to_string();
        let listen = format!("127.0.0.1:{}", self.port);
        let line = ["registry", "serve", "--root", &root, "--listen", &listen];
        let mut command = self.stage.command(data, &line);
        // Nobody reads what it says.
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command
    }

    fn name(&self) -> String {
        format!("127.0.0.1:{}/app:1", self.port)
    }

    /// Waits until it listens, then pushes. Both end when the server does.
    fn push(&self, server: &mut Child) -> Option<i32> {
        let until = Instant::now() + START_TIME_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if server.try_wait().expect("a child").is_some() {
                return None;
            }
            assert!(Instant::now() < until, "the server does not listen");
            thread::sleep(Duration::from_millis(2));
        }
        let mut push = self.stage.command(self.client, &["push", &self.name()]);
        let mut push = push.spawn().expect("varve starts");
        loop {
            if let Some(status) = push.try_wait().expect("a child") {
                return status.code();
            }
            if server.try_wait().expect("a child").is_some() {
                let _ = push.kill();
                let _ = push.wait();
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What must hold of the registry's directory, whatever was left of it.
    fn judge(&self, data: &Place) -> Result<(), String> {
        let mut server = self.command(data).spawn().expect("varve starts");
        let pushed = self.push(&mut server);
        let elsewhere = self.stage.place();
        let pulled = self.stage.run(&elsewhere, &["pull", &self.name()]);
        let _ = server.kill();
        let _ = server.wait();
        if pushed != Some(0) {
            return Err(format!("the push again: exit code {pushed:?}"));
        }
        if pulled.code != Some(0) {
            return Err(told("a pull", &pulled));
        }
        // What was cut off in the pool is the sweep's.
        let root = data.store().display().to_string();
        let swept = self.stage.run(data, &["registry", "gc", "--root", &root]);
        if swept.code != Some(0) {
            return Err(told("registry gc", &swept));
        }
        let repository = data.store().join("app/blobs/sha256");
        wrong_blobs(&repository)?;
        wrong_blobs(&data.store().join("_varve/blobs/sha256"))
    }
}

fn wrong_blobs(directory: &Path) -> Result<(), String> {
    for entry in fs::read_dir(directory).map_err(|error| format!("no blobs: {error}"))? {
        let entry = entry.map_err(|error| error.to_string())?;
        let bytes = fs::read(entry.path()).map_err(|error| error.to_string())?;
        if Digest::of(&bytes).hex() != entry.file_name().to_string_lossy() {
            return Err(format!("{} is another blob", entry.path().display()));
        }
    }
    Ok(())
}

#[test]
fn a_registry_may_be_stopped_at_any_call() {
    alone("served::a_registry_may_be_stopped_at_any_call", || {
        let Some(stage) = Stage::new() else { return };
        let plan = Plan::of_the_environment();
        let client = stage.place();
        assert!((verbs::TAG.prepare)(&stage, &client));
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let server = Server { stage: &stage, client: &client, port };
        stage.ok(&client, &["tag", "kept:1", &server.name()]);
        let data = stage.place();
        fs::create_dir(data.store()).expect("a directory");
        let mut recorder = Recorder::of(&data.store());
        let mut command = server.command(&data);
        let pushed = stage.overseen_server(
            &mut command,
            |child| server.push(child),
            |asked| {
                recorder.before(asked);
                Answer::Go
            },
        );
        assert_eq!(pushed, Some(0));
        let frames = recorder.frames;
        let mut tally = Tally::of("crash: registry push", &plan);
        let mut case = |what: &str, point: usize, left: &Place| {
            let asked = &frames[point].call;
            let case = format!("{what} at {point}, {} {}", asked.call, asked.path.display());
            tally.count(&case, server.judge(left));
        };
        let lost = |tree: Tree| {
            stage.restart();
            stage.place_with(&tree)
        };
        for point in plan.choose(frames.len(), SOME) {
            let data = stage.place();
            fs::create_dir(data.store()).expect("a directory");
            let mut count = 0;
            stage.overseen_server(
                &mut server.command(&data),
                |child| server.push(child),
                |_| {
                    count += 1;
                    if count == point + 1 { Answer::Die } else { Answer::Go }
                },
            );
            case("killed", point, &data);
            for loss in [Loss::All, Loss::Bytes] {
                case(&format!("power loss ({loss:?})"), point, &lost(frames[point].after(loss)));
            }
        }
        let mut random = plan.random();
        let mut tried = 0;
        while plan.has_time() || tried < SOME {
            let (point, loss) = (random.below(frames.len()), Loss::Any(random.word()));
            case(&format!("power loss ({loss:?})"), point, &lost(frames[point].after(loss)));
            tried += 1;
        }
        tally.finish();
    });
}
