//! Logs while they are written: nothing is lost, rotation is followed, the end is noticed.

use jiff::Timestamp;
use varve_runtime::logs::{Ask, Options, Reader, Stream, Tail, Writer};

use crate::world::Container;

#[test]
fn a_hundred_megabytes_are_in_the_log_whole() {
    let mut container = Container::shell(
        "yes 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde | head -c 100000000",
    );
    assert_eq!(container.start().end().exit_code, 0);
    let mut reader =
        Reader::open(&container.config.dir, &container.config.log_path(), Ask::default()).unwrap();
    let (mut bytes, mut lines) = (0, 0);
    while let Some(entry) = reader.next_entry().unwrap() {
        bytes += entry.text.len();
        lines += 1;
    }
    assert_eq!((bytes, lines), (100_000_000, 1_562_500));
    let tail = container.log_with(Ask { tail: Tail::Lines(2), ..Ask::default() });
    assert_eq!(tail.len(), 2);
}

#[test]
fn output_of_a_command_that_ends_at_once_is_never_lost() {
    for round in 0..50 {
        let mut container = Container::shell(&format!("echo {round}; echo {round} >&2"));
        container.start().end();
        assert_eq!(container.log(), format!("{round}\n{round}\n"));
    }
}

#[test]
fn following_crosses_rotations_and_ends_with_the_container() {
    let mut container =
        Container::new(&["/bin/sh", "-c", "seq 1 30000; sleep 0.2; echo last"], |config| {
            config.log.size_bytes_max = Some(400_000);
            config.log.files_max = 20;
        });
    container.start();
    let followed = container.log_with(Ask { follow: true, ..Ask::default() });
    let mut expected: Vec<String> = (1..=30_000).map(|n| format!("{n}\n")).collect();
    expected.push("last\n".to_owned());
    let texts: Vec<String> = followed.into_iter().map(|entry| entry.text).collect();
    assert!(texts == expected, "{} entries", texts.len());
    container.end();
    assert!(container.config.dir.join(format!("{}-json.log.1", crate::world::ID)).exists());
    assert_eq!(container.log_with(Ask::default()).len(), 30_001);
    let tail = container.log_with(Ask { tail: Tail::Lines(25_000), ..Ask::default() });
    assert_eq!((tail.len(), tail[0].text.as_str()), (25_000, "5002\n"));
}

#[test]
fn a_follower_notices_that_the_monitor_was_killed() {
    let mut container = Container::shell("echo begun; exec sleep 100");
    container.start();
    let (dir, path) = (container.config.dir.clone(), container.config.log_path());
    let mut reader = Reader::open(&dir, &path, Ask { follow: true, ..Ask::default() }).unwrap();
    assert_eq!(reader.next_entry().unwrap().unwrap().text, "begun\n");
    container.kill_monitor();
    assert_eq!(reader.next_entry().unwrap(), None);
    container.recover();
    container.expect_clean();
}

#[test]
fn times_choose_entries_and_a_torn_end_is_stepped_over_and_written_over() {
    let mut container = Container::shell("echo more");
    let path = container.config.log_path();
    let mut writer = Writer::open(&path, &Options::default()).unwrap().unwrap();
    for (second, text) in [(1, "one\n"), (2, "two\n"), (3, "three")] {
        writer.feed(Stream::Stdout, text.as_bytes(), Timestamp::from_second(second).unwrap());
    }
    writer.finish(Stream::Stdout, Timestamp::from_second(4).unwrap());
    let all = container.log_with(Ask::default());
    let texts: Vec<&str> = all.iter().map(|entry| entry.text.as_str()).collect();
    assert_eq!(texts, ["one\n", "two\n", "three"]);
    assert!(all.iter().all(|entry| entry.stream == Stream::Stdout));
    let since = container.log_with(Ask { since: Some(all[1].time), ..Ask::default() });
    assert_eq!(since, all[1..]);
    let until = container.log_with(Ask { until: Some(all[1].time), ..Ask::default() });
    assert_eq!(until, all[..2]);

    let mut log = std::fs::File::options().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut log, b"{\"log\":\"to").unwrap();
    assert_eq!(container.log_with(Ask::default()), all);
    container.start().end();
    assert_eq!(container.log(), "one\ntwo\nthreemore\n");
}
