//! `--security-opt`

use varve_types::{Kind, Printable, go_bool};

/// What `--security-opt` asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// Programs that would run with more rights than their caller run with the caller's.
    pub no_new_privileges: bool,
    /// `unconfined`, `builtin`, or the text of a profile.
    pub seccomp: Option<String>,
    /// `unconfined` or the name of a profile.
    pub apparmor: Option<String>,
    /// SELinux: `disable`, `type:…`, `level:…`, `user:…`, `role:…`, `filetype:…`.
    pub labels: Vec<String>,
}

/// An option that there is not. The messages are docker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecurityError {
    /// No value.
    #[error("invalid --security-opt 1: \"{}\"", Printable(.0))]
    Format(String),
    /// Another name, or a value that is none.
    #[error("invalid --security-opt 2: \"{}\"", Printable(.0))]
    Unknown(String),
}

impl SecurityError {
    /// Classifies the error.
    pub fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl SecurityOptions {
    /// Reads the options; a colon may stand for the equals sign, as long ago.
    pub fn parse(options: Option<&[String]>) -> Result<Self, SecurityError> {
        let mut parsed = Self::default();
        for option in options.unwrap_or_default() {
            match option.as_str() {
                "no-new-privileges" => {
                    parsed.no_new_privileges = true;
                    continue;
                }
                "disable" => {
                    parsed.labels.push("disable".to_owned());
                    continue;
                }
                _ => {}
            }
            let (name, value) = option
                .split_once('=')
                .or_else(|| option.split_once(':'))
                .ok_or_else(|| SecurityError::Format(option.clone()))?;
            match name {
                "label" => parsed.labels.push(value.to_owned()),
                "apparmor" => parsed.apparmor = Some(value.to_owned()),
                "seccomp" => parsed.seccomp = Some(value.to_owned()),
                "no-new-privileges" => {
                    parsed.no_new_privileges =
                        go_bool(value).ok_or_else(|| SecurityError::Unknown(option.clone()))?;
                }
                _ => return Err(SecurityError::Unknown(option.clone())),
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parsed(options: &[&str]) -> Result<SecurityOptions, SecurityError> {
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        SecurityOptions::parse(Some(&options))
    }

    #[test]
    fn options_are_read_as_docker_reads_them() {
        let options =
            parsed(&["no-new-privileges:true", "label=level:s0:c1", "seccomp=unconfined"]).unwrap();
        assert!(options.no_new_privileges);
        assert_eq!(options.labels, ["level:s0:c1"]);
        assert_eq!(options.seccomp.as_deref(), Some("unconfined"));
        assert!(!parsed(&["no-new-privileges=false"]).unwrap().no_new_privileges);
        let refused = |option: &str| parsed(&[option]).unwrap_err().to_string();
        assert_eq!(refused("bogus"), "invalid --security-opt 1: \"bogus\"");
        assert_eq!(refused("a=b"), "invalid --security-opt 2: \"a=b\"");
        assert_eq!(
            refused("no-new-privileges=x"),
            "invalid --security-opt 2: \"no-new-privileges=x\""
        );
    }
}
