//! A machine, the world beyond it, and containers.

use std::{
    env,
    ffi::OsString,
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tempfile::TempDir;
use varve_runtime::network::{
    Attach, Attached, Driver, HelperCommand, Netns, Networks, NewNetwork, Result,
};
use varve_testkit::guard;
use varve_types::{
    ContainerId,
    container::{NetworkRequest, PortBindings, parse_publish},
};

/// The world's address, and the machine's towards it.
pub(crate) const WORLD: &str = "203.0.113.1";
pub(crate) const MACHINE: &str = "203.0.113.2";
/// Long for a loopback, short for a reader: how long something that must not come is waited for.
const PATIENCE: Duration = Duration::from_millis(400);
/// What must come is waited for as long as a busy machine may take.
const PATIENCE_LONG: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) machine: Netns,
    pub(crate) outside: Netns,
    pub(crate) directory: TempDir,
}

pub(crate) struct Container {
    pub(crate) id: ContainerId,
    pub(crate) netns: Netns,
    pub(crate) attached: Attached,
}

impl World {
    /// `None` where the kernel gives no such things.
    #[track_caller]
    pub(crate) fn new() -> Option<Self> {
        if !guard::root() || !guard::network_namespace() {
            return None;
        }
        let machine = Netns::create().unwrap();
        let outside = Netns::create().unwrap();
        let new = Self { machine, outside, directory: tempfile::tempdir().unwrap() };
        run(&new.machine, "ip link set lo up");
        run(&new.outside, "ip link set lo up");
        let peer = new.outside.path();
        let cable = format!("ip link add up0 type veth peer name up0 netns {}", peer.display());
        run(&new.machine, &cable);
        run(&new.machine, &format!("ip addr add {MACHINE}/24 dev up0"));
        run(&new.outside, &format!("ip addr add {WORLD}/24 dev up0"));
        run(&new.machine, "ip link set up0 up");
        run(&new.outside, "ip link set up0 up");
        Some(new)
    }

    /// What the code under test would find on this machine.
    pub(crate) fn networks(&self) -> Networks {
        open(self.directory.path(), &self.machine)
    }

    pub(crate) fn create(&self, name: &str) {
        self.create_as(NewNetwork { name: name.to_owned(), ..NewNetwork::default() });
    }

    pub(crate) fn create_as(&self, new: NewNetwork) {
        let networks = self.networks();
        let made = on(&self.machine, || networks.create(&new, Timestamp::UNIX_EPOCH)).unwrap();
        assert_eq!(made.driver, Driver::Bridge);
    }

    /// Starts a container in the networks, with the ports.
    pub(crate) fn start(&self, number: u8, networks: &[&str], ports: &[&str]) -> Container {
        self.try_start(number, networks, ports).unwrap()
    }

    pub(crate) fn try_start(
        &self,
        number: u8,
        networks: &[&str],
        ports: &[&str],
    ) -> Result<Container> {
        self.start_with(number, networks, ports, &[])
    }

    pub(crate) fn start_with(
        &self,
        number: u8,
        networks: &[&str],
        ports: &[&str],
        aliases: &[&str],
    ) -> Result<Container> {
        let (id, netns) = (id(number), Netns::create().unwrap());
        let request = NetworkRequest {
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            ..NetworkRequest::default()
        };
        let networks: Vec<(String, NetworkRequest)> =
            networks.iter().map(|&name| (name.to_owned(), request.clone())).collect();
        let attach = Attach {
            container: &id,
            name: &format!("c{number}"),
            hostname: "",
            netns: Some(&netns),
            networks: &networks,
            ports: &bindings(ports),
            upstreams: &[WORLD.parse().unwrap()],
        };
        let of_machine = self.networks();
        let attached = on(&self.machine, || of_machine.attach(&attach))?;
        Ok(Container { id, netns, attached })
    }

    pub(crate) fn stop(&self, container: &Container) {
        let networks = self.networks();
        on(&self.machine, || networks.detach(&container.id)).unwrap();
    }

    /// Whether the machine is as it was: no interface, rule, process, name or lease is left.
    #[track_caller]
    pub(crate) fn assert_nothing_is_left(&self) {
        let links = output(&self.machine, "ip -o link show");
        let names: Vec<&str> = links.lines().filter_map(|line| line.split(": ").nth(1)).collect();
        let ours = |name: &&&str| name.starts_with('v');
        assert_eq!(names.iter().filter(ours).collect::<Vec<_>>(), Vec::<&&str>::new(), "{links}");
        if guard::tool("nft").is_some() {
            let rules = output(&self.machine, "nft list ruleset");
            assert!(!rules.contains("varve") && !rules.contains("vr-"), "{rules}");
        }
        let run = self.directory.path().join("run");
        for directory in ["sandboxes", "names"] {
            let left: Vec<OsString> = std::fs::read_dir(run.join(directory))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .filter(|name| name != "new")
                .collect();
            assert_eq!(left, Vec::<OsString>::new(), "{directory}");
        }
        // One that was started and told nothing ends by itself as soon as it finds that out.
        let deadline = Instant::now() + PATIENCE_LONG;
        while !helpers(self.directory.path()).is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(helpers(self.directory.path()), Vec::<u32>::new(), "helpers still run");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let networks = self.networks();
        let _ = on(&self.machine, || networks.reconcile(&|_| false));
    }
}

impl Container {
    /// Its address in the n-th network.
    pub(crate) fn address(&self, at: usize) -> IpAddr {
        self.attached.sandbox.endpoints[at].ipv4.unwrap().address.into()
    }
}

/// Opens the networks in a directory, on the machine of a namespace.
pub(crate) fn open(directory: &Path, machine: &Netns) -> Networks {
    let (of, run) = (directory.join("networks"), directory.join("run"));
    let helper = helper(directory);
    on(machine, || Networks::open(&of, &run, helper, Timestamp::UNIX_EPOCH)).unwrap()
}

/// This test binary in the role of a helper. The directory says whose it is.
fn helper(directory: &Path) -> HelperCommand {
    let arguments = ["world::plays_the_helper", "--exact", "--ignored", "--skip"];
    HelperCommand {
        program: env::current_exe().unwrap(),
        own_name: "helper".into(),
        arguments: arguments
            .iter()
            .map(OsString::from)
            .chain([directory.as_os_str().to_owned()])
            .collect(),
    }
}

/// Not a test: what [`helper`] starts.
#[test]
#[ignore = "the process that other tests start"]
fn plays_the_helper() {
    varve_runtime::network::serve_helper().unwrap();
}

/// Helpers of a directory that still run.
pub(crate) fn helpers(directory: &Path) -> Vec<u32> {
    let wanted = directory.to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        if line.contains("plays_the_helper") && line.contains(&wanted) {
            found.push(pid);
        }
    }
    found
}

pub(crate) fn id(number: u8) -> ContainerId {
    ContainerId::from_random([0xc0 | (number >> 4), number].repeat(16).try_into().unwrap())
}

pub(crate) fn bindings(ports: &[&str]) -> PortBindings {
    let mut bindings = PortBindings::new();
    for (port, place) in ports.iter().flat_map(|text| parse_publish(text).unwrap()) {
        bindings.entry(port).or_default().push(place);
    }
    bindings
}

/// Does something on a machine.
pub(crate) fn on<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> T {
    netns.inside(|| Ok(work())).unwrap()
}

#[track_caller]
pub(crate) fn run(netns: &Netns, line: &str) {
    output(netns, line);
}

#[track_caller]
pub(crate) fn output(netns: &Netns, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let done = on(netns, || {
        Command::new(words[0]).args(&words[1..]).stderr(Stdio::inherit()).output().unwrap()
    });
    assert!(done.status.success(), "{line}");
    String::from_utf8(done.stdout).unwrap()
}

/// Answers everyone who connects with the address that they seem to come from, and then with what
/// they say.
pub(crate) fn serve_tcp(netns: &Netns, port: u16) {
    let listener = on(netns, || TcpListener::bind(("0.0.0.0", port))).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let peer = stream.peer_addr().unwrap().ip();
                let mut said = Vec::new();
                let _ = stream.read_to_end(&mut said);
                let _ = stream.write_all(format!("{peer} ").as_bytes());
                let _ = stream.write_all(&said);
            });
        }
    });
}

pub(crate) fn serve_udp(netns: &Netns, port: u16) {
    let socket = on(netns, || UdpSocket::bind(("0.0.0.0", port))).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let mut reply = format!("{} ", peer.ip()).into_bytes();
            reply.extend(&buffer[..length]);
            let _ = socket.send_to(&reply, peer);
        }
    });
}

fn address(ip: impl ToString, port: u16) -> SocketAddr {
    SocketAddr::new(ip.to_string().parse().unwrap(), port)
}

/// What a server answers to `hello`: whom it sees, and `hello`.
#[track_caller]
pub(crate) fn ask_tcp(netns: &Netns, ip: impl ToString, port: u16) -> String {
    let at = address(ip, port);
    let answer = on(netns, || {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE_LONG)?;
        stream.set_read_timeout(Some(PATIENCE_LONG))?;
        stream.write_all(b"hello")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    });
    answer.unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// Whether a connection does not come about.
pub(crate) fn cannot_connect(netns: &Netns, ip: impl ToString, port: u16) -> bool {
    let at = address(ip, port);
    on(netns, || TcpStream::connect_timeout(&at, PATIENCE).is_err())
}

#[track_caller]
pub(crate) fn ask_udp(netns: &Netns, ip: impl ToString, port: u16) -> String {
    let at = address(ip, port);
    let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let answer = on(netns, || {
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(PATIENCE_LONG))?;
        socket.connect(at)?;
        socket.send(b"hello")?;
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
    });
    answer.unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// The path of a directory for another process.
pub(crate) fn path(directory: &TempDir) -> PathBuf {
    directory.path().to_owned()
}
