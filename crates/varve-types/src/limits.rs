//! Limits on everything that is received. Each has a name; none is silent.

/// Bytes of one manifest or index (registries refuse more than 4 MiB; distribution-spec, "Pushing Manifests").
pub const MANIFEST_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Bytes of one image config.
pub const CONFIG_SIZE_BYTES_MAX: u64 = 8 << 20;
/// Levels of indexes inside indexes.
pub const INDEX_DEPTH_MAX: usize = 4;
/// Descriptors in one index.
pub const INDEX_ENTRIES_MAX: usize = 4_096;
/// Manifests and indexes that one index leads to, nested ones included.
pub const INDEX_MANIFESTS_MAX: usize = 4_096;
/// Layers of one image; overlayfs takes at most 500 lowers.
pub const LAYERS_MAX: usize = 500;
/// Entries of one layer.
pub const LAYER_ENTRIES_MAX: u64 = 4_000_000;
/// Bytes of one path inside a layer (Linux `PATH_MAX`).
pub const PATH_SIZE_BYTES_MAX: usize = 4_096;
/// Bytes of one name inside a path (Linux `NAME_MAX`).
pub const NAME_SIZE_BYTES_MAX: usize = 255;
/// Bytes of one symlink target.
pub const LINK_SIZE_BYTES_MAX: usize = 4_096;
/// Bytes of one extended attribute's value (Linux `XATTR_SIZE_MAX`).
pub const XATTR_SIZE_BYTES_MAX: usize = 65_536;
/// Bytes of all extended attributes of one entry (Linux `XATTR_LIST_MAX` for names, and room for values).
pub const XATTRS_SIZE_BYTES_MAX: usize = 1 << 20;
/// Bytes of one PAX header or GNU long name.
pub const TAR_EXTENSION_SIZE_BYTES_MAX: u64 = 2 << 20;
/// Bytes that one compressed layer may inflate to.
pub const LAYER_INFLATED_SIZE_BYTES_MAX: u64 = 1 << 40;
/// Times a gzip-compressed layer may grow when inflated, past the first MiB (the format's own
/// limit is about 1032).
pub const INFLATE_RATIO_GZIP_MAX: u64 = 1_100;
/// Times a layer compressed otherwise may grow, past the first MiB: a block of zeros takes zstd
/// 4 bytes for 128 KiB, and bzip2 about 45 bytes for 900 kB.
pub const INFLATE_RATIO_MAX: u64 = 50_000;
/// Redirects followed for one request.
pub const REDIRECTS_MAX: usize = 5;
/// Bytes of an error body read from a registry.
pub const ERROR_BODY_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a token response.
pub const TOKEN_BODY_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Pages of a tag list or catalogue.
pub const LIST_PAGES_MAX: usize = 10_000;
/// Bytes of a docker archive's manifest.json, repositories or legacy json.
pub const ARCHIVE_DOCUMENT_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Members of an image archive.
pub const ARCHIVE_MEMBERS_MAX: usize = 200_000;
/// Bytes of memory that decompressing one stream may take (xz dictionaries, zstd windows).
pub const DECODER_MEMORY_SIZE_BYTES_MAX: u64 = 128 << 20;
/// Bytes of an extended attribute's name (Linux `XATTR_NAME_MAX`).
pub const XATTR_NAME_SIZE_BYTES_MAX: usize = 255;
/// Regions of data in one sparse file.
pub const SPARSE_REGIONS_MAX: usize = 100_000;
/// Bytes of names, link targets, attributes and sparse maps that one layer's tree may hold.
pub const LAYER_TREE_SIZE_BYTES_MAX: u64 = 1 << 30;
/// Bytes of paths that one layer's record may list (implied directories, foreign hard links).
pub const LAYER_RECORD_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Parts of symbolic links' texts gone through while the places of one layer's entries are found.
pub const LAYER_LINK_STEPS_MAX: u64 = 8 << 20;
/// Symbolic links followed to find one place in a layer (Linux `MAXSYMLINKS`).
pub const LINK_DEPTH_MAX: usize = 40;
/// Warnings kept of one layer.
pub const LAYER_WARNINGS_MAX: usize = 50;
/// Bytes of all paths of an image archive together: they are kept in memory.
pub const ARCHIVE_PATHS_SIZE_BYTES_MAX: u64 = 16 << 20;
/// Bytes of one blob that the registry takes.
pub const BLOB_SIZE_BYTES_MAX: u64 = 1 << 40;
/// Repositories or tags in one page of the registry's lists.
pub const LIST_PAGE_ENTRIES_MAX: usize = 1_000;
/// Uploads that may go on at once in the registry, those included that nobody ends.
pub const UPLOADS_MAX: usize = 4_096;
/// Uploads whose running hash the registry keeps in memory; the others are hashed again at their end.
pub const UPLOAD_HASHES_MAX: usize = 1_024;
/// Bytes of an htpasswd file.
pub const HTPASSWD_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a request's or response's line and headers together.
pub const HTTP_HEAD_SIZE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one layer's index: names, attributes, and data that cannot stay in the tar.
pub const LAYER_INDEX_SIZE_BYTES_MAX: u64 = 2 << 30;

/// Bytes of the record of a container or volume.
pub const CONTAINER_SIZE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a file that holds the ID to which a name belongs.
pub const NAME_FILE_SIZE_BYTES_MAX: u64 = 256;
/// Bytes of a container's `/etc/passwd` or `/etc/group` that are read.
pub const PASSWD_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a host's `/etc/resolv.conf` that are read.
pub const RESOLV_CONF_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a seccomp profile given by the user.
pub const SECCOMP_PROFILE_SIZE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a file that a flag names: variables, labels, a profile for seccomp.
pub const FLAG_FILE_SIZE_BYTES_MAX: u64 = 4 << 20;
/// Ports that one container may publish.
pub const PUBLISHED_PORTS_MAX: usize = 4_096;
/// Connections to published ports that one container's helper carries at once.
pub const RELAYED_CONNECTIONS_MAX: usize = 1_024;
/// Senders of datagrams to published ports that one container's helper remembers at once.
pub const RELAYED_FLOWS_MAX: usize = 1_024;
/// Questions for names that one container's helper has open at once.
pub const RESOLVER_QUERIES_MAX: usize = 256;
/// Bytes of one record about networks.
pub const NETWORK_RECORD_SIZE_BYTES_MAX: u64 = 16 << 20;

/// Bytes of a Dockerfile.
pub const DOCKERFILE_SIZE_BYTES_MAX: usize = 16 << 20;
/// Bytes of one line of a Dockerfile (docker's own limit).
pub const DOCKERFILE_LINE_SIZE_BYTES_MAX: usize = (64 << 10) - 1;
/// Instructions of a Dockerfile, those of its base images' triggers included.
pub const DOCKERFILE_INSTRUCTIONS_MAX: usize = 10_000;
/// Stages of a Dockerfile.
pub const DOCKERFILE_STAGES_MAX: usize = 500;
/// Warnings about one Dockerfile that are kept; what more there are is not told.
pub const DOCKERFILE_WARNINGS_MAX: usize = 10_000;
/// Ports that one `EXPOSE` may list, ranges counted out: more than there are of all protocols.
pub const EXPOSED_PORTS_MAX: usize = 200_000;
/// Bytes that one word of a Dockerfile may expand to.
pub const EXPANSION_SIZE_BYTES_MAX: usize = 1 << 20;
/// Levels of `${a:-${b:-…}}` in a word.
pub const EXPANSION_DEPTH_MAX: usize = 64;
/// Characters of the pattern of `${a#pattern}` and its like.
pub const EXPANSION_PATTERN_CHARS_MAX: usize = 1_024;
/// Steps taken to match the patterns of one word of a Dockerfile.
pub const EXPANSION_STEPS_MAX: usize = 50_000_000;
/// Bytes of the environment that `ENV` and `ARG` may make.
pub const BUILD_ENVIRONMENT_SIZE_BYTES_MAX: usize = 1 << 20;
/// Steps of a build that are done at once.
pub const BUILD_STEPS_AT_ONCE_MAX: usize = 8;
/// Bytes of a `.dockerignore`.
pub const IGNORE_SIZE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a record of the build cache.
pub const CACHE_RECORD_SIZE_BYTES_MAX: u64 = 1 << 20;
/// Bytes of what is remembered of a build context's files.
pub const CONTEXT_NOTES_SIZE_BYTES_MAX: u64 = 256 << 20;
/// Bytes that are kept of what `git` says.
pub const GIT_OUTPUT_SIZE_BYTES_MAX: usize = 16 << 20;
/// Bytes of a token for a server of repositories.
pub const GIT_SECRET_SIZE_BYTES_MAX: u64 = 64 << 10;
/// Directories of one cache mount that builds use at once, each for itself.
pub const CACHE_MOUNT_PLACES_MAX: u32 = 1_000;
/// Patterns of a `.dockerignore`.
pub const IGNORE_PATTERNS_MAX: usize = 20_000;
/// Characters of one pattern of a `.dockerignore` or of `COPY`.
pub const PATH_PATTERN_CHARS_MAX: usize = 4_096;
/// Bytes of a secret of a build (docker's own limit).
pub const SECRET_SIZE_BYTES_MAX: u64 = 500 << 10;
/// Connections to an agent of SSH keys that one program of a build may have at once.
pub const AGENT_CONNECTIONS_MAX: usize = 32;
/// Bytes of one message to or from such an agent (OpenSSH's own limit).
pub const AGENT_MESSAGE_SIZE_BYTES_MAX: usize = 256 << 10;
