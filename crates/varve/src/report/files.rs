//! The files of an image, as `ls -l` would list them.

use std::rc::Rc;

use varve_engine::{EntryKind, TreeEntry};

use crate::{
    error::CommandError,
    format::{
        Listing,
        template::{Row, Value},
        time,
    },
};

const HEADERS: &[(&str, &str)] = &[
    ("Device", "DEVICE"),
    ("Group", "GROUP"),
    ("Links", "LINKS"),
    ("Mode", "MODE"),
    ("ModifiedAt", "MODIFIED"),
    ("Owner", "OWNER"),
    ("Path", "PATH"),
    ("Size", "SIZE"),
    ("Target", "TARGET"),
    ("Type", "TYPE"),
];

/// Lists the files, one line each. Names that are not UTF-8 are shown with replacements.
pub(crate) fn list(entries: Vec<TreeEntry>, format: &str) -> Result<String, CommandError> {
    let format = match format {
        "" | "table" => {
            "table {{.Mode}}\t{{.Owner}}\t{{.Group}}\t{{.Size}}\t{{.ModifiedAt}}\t{{.Path}}{{if .Target}} -> {{.Target}}{{end}}"
        }
        format => format,
    };
    let rows = entries.into_iter().map(|entry| -> Rc<dyn Row> { Rc::new(FileRow(entry)) });
    Listing { format, headers: HEADERS }.render(rows)
}

#[derive(Debug)]
struct FileRow(TreeEntry);

impl FileRow {
    /// `-rwsr-xr-t`
    fn mode(&self) -> String {
        let kind = match self.0.kind {
            EntryKind::File => '-',
            EntryKind::Directory => 'd',
            EntryKind::Symlink(_) => 'l',
            EntryKind::CharacterDevice(..) => 'c',
            EntryKind::BlockDevice(..) => 'b',
            EntryKind::Fifo => 'p',
        };
        let mode = self.0.mode;
        let mut text = String::from(kind);
        // Of each class: its bits, and the special bit that is shown in place of `x`.
        for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = mode >> shift;
            text.push(if bits & 4 == 0 { '-' } else { 'r' });
            text.push(if bits & 2 == 0 { '-' } else { 'w' });
            text.push(match (mode & special != 0, bits & 1 != 0) {
                (true, true) => letter,
                (true, false) => letter.to_ascii_uppercase(),
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        text
    }

    /// A device's numbers, which `ls` shows where it shows the size of others.
    fn device(&self) -> Option<String> {
        match self.0.kind {
            EntryKind::CharacterDevice(major, minor) | EntryKind::BlockDevice(major, minor) => {
                Some(format!("{major},{minor}"))
            }
            _ => None,
        }
    }

    fn size(&self) -> Value {
        Value::Int(self.0.size_bytes.try_into().unwrap_or(i64::MAX))
    }

    fn kind(&self) -> &'static str {
        match self.0.kind {
            EntryKind::File => "file",
            EntryKind::Directory => "directory",
            EntryKind::Symlink(_) => "symlink",
            EntryKind::CharacterDevice(..) => "character device",
            EntryKind::BlockDevice(..) => "block device",
            EntryKind::Fifo => "fifo",
        }
    }
}

impl Row for FileRow {
    fn go_type(&self) -> &'static str {
        "*formatter.fileContext"
    }

    fn names(&self) -> &'static [&'static str] {
        &[
            "Device",
            "Group",
            "Links",
            "Mode",
            "ModifiedAt",
            "Owner",
            "Path",
            "Size",
            "Target",
            "Type",
        ]
    }

    fn field(&self, name: &str) -> Option<Value> {
        let lossy = |bytes: &[u8]| Value::foreign(String::from_utf8_lossy(bytes));
        Some(match name {
            "Device" => Value::text(self.device().unwrap_or_default()),
            "Group" => Value::Int(i64::from(self.0.gid)),
            "Links" => Value::Int(i64::from(self.0.names)),
            "Mode" => Value::text(self.mode()),
            "ModifiedAt" => Value::text(time::rfc3339_nano(self.0.modified)),
            "Owner" => Value::Int(i64::from(self.0.uid)),
            "Path" => lossy(&self.0.path),
            "Size" => match self.device() {
                Some(numbers) => Value::text(numbers),
                None => self.size(),
            },
            "Target" => match &self.0.kind {
                EntryKind::Symlink(target) => lossy(target),
                _ => Value::text(""),
            },
            "Type" => Value::text(self.kind()),
            _ => return None,
        })
    }

    fn json_field(&self, name: &str) -> Option<Value> {
        if name == "Size" { Some(self.size()) } else { self.field(name) }
    }
}
