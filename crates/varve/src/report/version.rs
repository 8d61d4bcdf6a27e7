//! The versions of varve, in the layout of Docker's client and server.

use crate::format::template::{Field, Value};

/// The version of Docker's API whose behaviour the commands have.
const API_VERSION: &str = "1.50";
/// The oldest one that clients may ask for.
const API_VERSION_MIN: &str = "1.24";

/// The program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit this was built from, when the build knew it.
pub(crate) fn commit() -> &'static str {
    option_env!("VARVE_COMMIT").unwrap_or("unknown")
}

fn built() -> &'static str {
    option_env!("VARVE_BUILT").unwrap_or("")
}

fn architecture() -> String {
    varve_types::Platform::host().architecture
}

/// The line about when this was built, when the build knew it.
fn built_line(label: &str) -> String {
    match built() {
        "" => String::new(),
        built => format!("{label}{built}\n"),
    }
}

/// The first paragraph of what `version` prints.
pub(crate) fn client_text() -> String {
    format!(
        "Client:\n \
         Version:           {VERSION}\n \
         API version:       {API_VERSION}\n \
         Git commit:        {}\n{} \
         OS/Arch:           linux/{}\n \
         Context:           default\n",
        commit(),
        built_line(" Built:             "),
        architecture(),
    )
}

/// What `version` prints without a format.
pub(crate) fn text(kernel: &str) -> String {
    format!(
        "{}\n\
         Server: Varve (in this process, there is no daemon)\n \
         Engine:\n  \
         Version:          {VERSION}\n  \
         API version:      {API_VERSION} (minimum version {API_VERSION_MIN})\n  \
         Git commit:       {}\n{}  \
         OS/Arch:          linux/{}\n  \
         Kernel Version:   {kernel}\n  \
         Experimental:     false\n",
        client_text(),
        commit(),
        built_line("  Built:            "),
        architecture(),
    )
}

/// The same for templates; without a kernel there is no server.
pub(crate) fn value(kernel: Option<&str>) -> Value {
    let text = |name, text: &str| Field::plain(name, Value::text(text));
    let client = vec![
        text("Version", VERSION),
        Field::new("APIVersion", "ApiVersion", Value::text(API_VERSION)),
        text("DefaultAPIVersion", API_VERSION),
        text("GitCommit", commit()),
        text("GoVersion", ""),
        text("Os", "linux"),
        text("Arch", &architecture()),
        Field::omit_empty("BuildTime", "BuildTime", Value::text(built())),
        text("Context", "default"),
    ];
    Value::structure(
        "system.versionInfo",
        vec![
            Field::plain("Client", Value::structure("system.clientVersion", client)),
            Field::plain("Server", kernel.map_or(Value::Nil, server)),
        ],
    )
}

fn server(kernel: &str) -> Value {
    let text = |name, text: &str| Field::plain(name, Value::text(text));
    let engine = vec![
        text("Name", "Engine"),
        text("Version", VERSION),
        Field::plain("Details", Value::map_or_nil(None, Value::text(""))),
    ];
    let server = vec![
        Field::plain(
            "Platform",
            Value::structure("struct { Name string }", vec![text("Name", "Varve")]),
        ),
        Field::plain(
            "Components",
            Value::list(vec![Value::structure("types.ComponentVersion", engine)]),
        ),
        text("Version", VERSION),
        Field::new("APIVersion", "ApiVersion", Value::text(API_VERSION)),
        text("MinAPIVersion", API_VERSION_MIN),
        text("GitCommit", commit()),
        text("GoVersion", ""),
        text("Os", "linux"),
        text("Arch", &architecture()),
        text("KernelVersion", kernel),
        Field { name: "Experimental".into(), json: None, value: Value::Bool(false) },
        Field::omit_empty("BuildTime", "BuildTime", Value::text(built())),
    ];
    Value::structure("*types.Version", server)
}
