//! Private SSH keys from files, and an agent that has nothing else (`--ssh default=~/.ssh/id_ed25519`).
//!
//! Ed25519, RSA and ECDSA on the curves P-256 and P-384, unencrypted, in OpenSSH's own form, PKCS#8,
//! or PKCS#1. Formats: OpenSSH's PROTOCOL.key, RFC 4253 section 6.6, RFC 5656, RFC 8332, RFC 8709;
//! draft-miller-ssh-agent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{
        self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair as _, RsaKeyPair,
    },
};

use crate::build::SshKeyFile;

const MAGIC: &[u8] = b"openssh-key-v1\0";
const ED25519: &str = "ssh-ed25519";
const RSA: &str = "ssh-rsa";
/// Answers of an agent.
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;
/// What a signature by an RSA key is asked to be made with (RFC 8332).
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Why there is no key in a file. The texts are Go's `ssh` package's where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SshKeyError {
    /// It holds no private key.
    #[error("ssh: no key found")]
    NoKey,
    /// It has a passphrase, which nobody is asked for.
    #[error("ssh: this private key is passphrase protected")]
    Encrypted,
    /// It is of a kind that is not supported.
    #[error("ssh: unsupported key type; `ssh-add` it to an agent, and give --ssh default")]
    Unsupported,
    /// It is damaged.
    #[error("ssh: malformed private key")]
    Malformed,
}

/// A private key.
pub struct SshKey {
    /// As agents tell it.
    public: Vec<u8>,
    comment: Vec<u8>,
    key: Key,
}

enum Key {
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair, &'static str),
}

/// Private keys are not shown.
impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshKey").finish_non_exhaustive()
    }
}

impl SshKey {
    /// The key in the text of a file.
    pub fn parse(text: &[u8]) -> Result<Self, SshKeyError> {
        let text = std::str::from_utf8(text).map_err(|_| SshKeyError::NoKey)?;
        let (_, rest) = text.split_once("-----BEGIN ").ok_or(SshKeyError::NoKey)?;
        let (label, rest) = rest.split_once("-----").ok_or(SshKeyError::NoKey)?;
        let (body, _) = rest.split_once("-----END ").ok_or(SshKeyError::NoKey)?;
        if body.contains("ENCRYPTED") || label.starts_with("ENCRYPTED") {
            return Err(SshKeyError::Encrypted);
        }
        let body: String = body.split_ascii_whitespace().collect();
        let bytes = STANDARD.decode(body).map_err(|_| SshKeyError::Malformed)?;
        match label {
            "OPENSSH PRIVATE KEY" => of_openssh(&bytes),
            "RSA PRIVATE KEY" => {
                let key = RsaKeyPair::from_der(&bytes).map_err(|_| SshKeyError::Malformed)?;
                Ok(Self::new(Key::Rsa(key), Vec::new()))
            }
            "PRIVATE KEY" => of_pkcs8(&bytes),
            _ => Err(SshKeyError::Unsupported),
        }
    }

    fn new(key: Key, comment: Vec<u8>) -> Self {
        let mut public = Vec::new();
        match &key {
            Key::Ed25519(pair) => {
                put(&mut public, ED25519.as_bytes());
                put(&mut public, pair.public_key().as_ref());
            }
            Key::Rsa(pair) => {
                let parts = PublicKeyComponents::<Vec<u8>>::from(pair.public());
                put(&mut public, RSA.as_bytes());
                put_number(&mut public, &parts.e);
                put_number(&mut public, &parts.n);
            }
            Key::Ecdsa(pair, curve) => {
                put(&mut public, format!("ecdsa-sha2-{curve}").as_bytes());
                put(&mut public, curve.as_bytes());
                put(&mut public, pair.public_key().as_ref());
            }
        }
        Self { public, comment, key }
    }

    /// A signature as SSH wants it. `None`: it cannot be had in this way.
    fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let (name, bytes) = match &self.key {
            Key::Ed25519(pair) => (ED25519.to_owned(), pair.sign(data).as_ref().to_vec()),
            Key::Rsa(pair) => {
                let (name, how): (_, &dyn signature::RsaEncoding) = match flags {
                    _ if flags & RSA_SHA2_512 != 0 => {
                        ("rsa-sha2-512", &signature::RSA_PKCS1_SHA512)
                    }
                    _ if flags & RSA_SHA2_256 != 0 => {
                        ("rsa-sha2-256", &signature::RSA_PKCS1_SHA256)
                    }
                    // With SHA-1, which no server of today takes.
                    _ => return None,
                };
                let mut bytes = vec![0; pair.public().modulus_len()];
                pair.sign(how, &random, data, &mut bytes).ok()?;
                (name.to_owned(), bytes)
            }
            Key::Ecdsa(pair, curve) => {
                let fixed = pair.sign(&random, data).ok()?;
                let (r, s) = fixed.as_ref().split_at(fixed.as_ref().len() / 2);
                let mut bytes = Vec::new();
                put_number(&mut bytes, r);
                put_number(&mut bytes, s);
                (format!("ecdsa-sha2-{curve}"), bytes)
            }
        };
        let mut signature = Vec::new();
        put(&mut signature, name.as_bytes());
        put(&mut signature, &bytes);
        Some(signature)
    }
}

/// The answer of an agent with these keys to the body of a message, with its length before it. `None`:
/// it fails.
pub(super) fn answer(keys: &[SshKeyFile], request: &[u8]) -> Option<Vec<u8>> {
    let keys: Vec<&SshKey> = keys.iter().map(|file| &file.key).collect();
    let mut body = Vec::new();
    match request.split_first()? {
        (&super::agent::IDENTITIES, _) => {
            body.push(IDENTITIES_ANSWER);
            body.extend_from_slice(&u32::try_from(keys.len()).ok()?.to_be_bytes());
            for key in &keys {
                put(&mut body, &key.public);
                put(&mut body, &key.comment);
            }
        }
        (&super::agent::SIGN, mut rest) => {
            let (public, data) = (take(&mut rest)?, take(&mut rest)?);
            let flags = u32::from_be_bytes(*rest.first_chunk()?);
            let key = keys.iter().find(|key| key.public == public)?;
            body.push(SIGN_RESPONSE);
            put(&mut body, &key.sign(data, flags)?);
        }
        _ => return None,
    }
    let mut message = Vec::new();
    put(&mut message, &body);
    Some(message)
}

/// OpenSSH's own form.
fn of_openssh(bytes: &[u8]) -> Result<SshKey, SshKeyError> {
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(SshKeyError::Malformed)?;
    let mut next = || take(&mut rest).ok_or(SshKeyError::Malformed);
    let (cipher, _, _) = (next()?, next()?, next()?);
    if cipher != b"none" {
        return Err(SshKeyError::Encrypted);
    }
    // One key: its public part, then the private one.
    rest = rest.get(4..).ok_or(SshKeyError::Malformed)?;
    let mut next = || take(&mut rest).ok_or(SshKeyError::Malformed);
    let (_, private) = (next()?, next()?);
    // Two equal numbers, by which a wrong passphrase would be noticed.
    private_part(private.get(8..).ok_or(SshKeyError::Malformed)?)
}

fn private_part(bytes: &[u8]) -> Result<SshKey, SshKeyError> {
    let malformed = SshKeyError::Malformed;
    let mut rest = bytes;
    let mut next = || take(&mut rest).ok_or(malformed);
    let key = match next()? {
        b"ssh-ed25519" => {
            let (public, private) = (next()?, next()?);
            let seed = private.get(..32).ok_or(malformed)?;
            let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
            Key::Ed25519(pair.map_err(|_| malformed)?)
        }
        b"ssh-rsa" => {
            let mut number = || next().map(without_zeros);
            let public_key = PublicKeyComponents { n: number()?, e: number()? };
            let (private, inverse, prime, other) = (number()?, number()?, number()?, number()?);
            let by_prime = remainder(private, &less_one(prime));
            let by_other = remainder(private, &less_one(other));
            let parts = KeyPairComponents {
                public_key,
                d: private,
                p: prime,
                q: other,
                dP: &*by_prime,
                dQ: &*by_other,
                qInv: inverse,
            };
            Key::Rsa(RsaKeyPair::from_components(&parts).map_err(|_| malformed)?)
        }
        b"ecdsa-sha2-nistp256" | b"ecdsa-sha2-nistp384" => {
            let (curve, public, private) = (next()?, next()?, without_zeros(next()?));
            let (how, name, length) = match curve {
                b"nistp256" => (&ECDSA_P256_SHA256_FIXED_SIGNING, "nistp256", 32),
                _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, "nistp384", 48),
            };
            let mut padded = vec![0; length];
            let at = length.checked_sub(private.len()).ok_or(malformed)?;
            padded[at..].copy_from_slice(private);
            let random = SystemRandom::new();
            let pair = EcdsaKeyPair::from_private_key_and_public_key(how, &padded, public, &random);
            Key::Ecdsa(pair.map_err(|_| malformed)?, name)
        }
        _ => return Err(SshKeyError::Unsupported),
    };
    let comment = next()?.to_vec();
    Ok(SshKey::new(key, comment))
}

fn of_pkcs8(bytes: &[u8]) -> Result<SshKey, SshKeyError> {
    let random = SystemRandom::new();
    let ecdsa = |how, name| {
        let pair = EcdsaKeyPair::from_pkcs8(how, bytes, &random).ok()?;
        Some(Key::Ecdsa(pair, name))
    };
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map(Key::Ed25519).ok();
    let key = key.or_else(|| RsaKeyPair::from_pkcs8(bytes).map(Key::Rsa).ok());
    let key = key.or_else(|| ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "nistp256"));
    let key = key.or_else(|| ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "nistp384"));
    Ok(SshKey::new(key.ok_or(SshKeyError::Unsupported)?, Vec::new()))
}

/// A string with its length before it.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A positive number (RFC 4251, `mpint`).
fn put_number(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = without_zeros(bytes);
    let sign: &[u8] = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    put(out, &[sign, bytes].concat());
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (bytes, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(bytes)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    &bytes[zeros..]
}

/// An odd number, less one.
fn less_one(number: &[u8]) -> Vec<u8> {
    let mut less = number.to_vec();
    if let Some(last) = less.last_mut() {
        *last &= !1;
    }
    less
}

/// What is left of a number when it is divided by another one. (OpenSSH's form leaves out what follows
/// from the rest.)
fn remainder(number: &[u8], by: &[u8]) -> Vec<u8> {
    let by: Vec<u8> = [&[0], without_zeros(by)].concat();
    let mut left = vec![0_u8; by.len()];
    for bit in number.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1)) {
        let mut carry = bit;
        for byte in left.iter_mut().rev() {
            (*byte, carry) = (*byte << 1 | carry, *byte >> 7);
        }
        if left >= by {
            let mut borrow = 0_i16;
            for (byte, other) in left.iter_mut().zip(&by).rev() {
                let difference = i16::from(*byte) - i16::from(*other) - borrow;
                borrow = i16::from(difference < 0);
                *byte = difference.rem_euclid(256) as u8;
            }
        }
    }
    without_zeros(&left).to_vec()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command, sync::Arc, thread};

    use varve_testkit::guard;

    use super::{super::agent::Agent, *};
    use crate::build::SshSource;

    /// A key that OpenSSH makes.
    fn made(directory: &std::path::Path, kind: &[&str]) -> std::path::PathBuf {
        let path = directory.join("key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "somebody", "-f"])
            .arg(&path)
            .args(kind)
            .status();
        assert!(made.unwrap().success());
        path
    }

    /// OpenSSH signs by our agent, which has the private key, and verifies by itself.
    #[track_caller]
    fn signs(kind: &[&str]) {
        if guard::tool("ssh-keygen").is_none() || guard::tool("ssh-add").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let path = made(directory.path(), kind);
        let key = SshKey::parse(&fs::read(&path).unwrap()).unwrap();
        let keys: Arc<[SshKeyFile]> = [SshKeyFile { path: path.clone(), key }].into();
        fs::remove_file(&path).unwrap();
        let public = fs::read_to_string(at("key.pub")).unwrap();
        fs::write(at("signers"), format!("somebody {public}")).unwrap();
        fs::write(at("text"), "something").unwrap();
        let agent = Agent::listen(directory.path(), "agent", &SshSource::Keys(keys)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| agent.serve());
            let run = |program: &str, line: &[&str]| {
                let mut command = Command::new(program);
                command.args(line).env("SSH_AUTH_SOCK", at("agent"));
                command.current_dir(directory.path()).output().unwrap()
            };
            let listed = run("ssh-add", &["-L"]);
            let signed = run("ssh-keygen", &["-Y", "sign", "-n", "file", "-f", "key.pub", "text"]);
            let verify = "ssh-keygen -Y verify -f signers -I somebody -n file -s text.sig < text";
            let verified = run("sh", &["-c", verify]);
            agent.stop();
            let words = |text: &str| text.split(' ').take(2).collect::<Vec<_>>().join(" ");
            assert_eq!(words(&String::from_utf8(listed.stdout).unwrap()), words(&public));
            assert!(signed.status.success(), "{kind:?} {signed:?}");
            assert!(verified.status.success(), "{kind:?} {verified:?}");
        });
    }

    #[test]
    fn signatures_of_keys_of_all_kinds_are_good() {
        signs(&["-t", "ed25519"]);
        signs(&["-t", "rsa", "-b", "2048"]);
        signs(&["-t", "rsa", "-b", "2048", "-m", "PEM"]);
        signs(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"]);
        signs(&["-t", "ecdsa", "-b", "256"]);
        signs(&["-t", "ecdsa", "-b", "384"]);
    }

    #[test]
    fn what_is_no_key_or_has_a_passphrase_is_refused() {
        let error = |text: &[u8]| SshKey::parse(text).unwrap_err();
        assert_eq!(error(b"ssh-ed25519 AAAA somebody"), SshKeyError::NoKey);
        assert_eq!(error(&[0xff; 9]), SshKeyError::NoKey);
        let text =
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        assert_eq!(error(text), SshKeyError::Malformed);
        let text = b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(error(text), SshKeyError::Unsupported);
        if guard::tool("ssh-keygen").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        for form in [&["-t", "ed25519"][..], &["-t", "rsa", "-m", "PEM"]] {
            let path = made(directory.path(), form);
            let mut change = Command::new("ssh-keygen");
            change.args(["-q", "-p", "-N", "secret", "-f"]).arg(&path).args(&form[2..]);
            assert!(change.status().unwrap().success());
            assert_eq!(error(&fs::read(&path).unwrap()), SshKeyError::Encrypted);
            fs::remove_file(path).unwrap();
        }
    }

    /// Whatever is cut off or changed is refused, and never makes it fall over.
    #[test]
    fn damaged_keys_are_refused() {
        if guard::tool("ssh-keygen").is_none() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(made(directory.path(), &["-t", "ecdsa"])).unwrap();
        let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let bytes = STANDARD.decode(body).unwrap();
        for length in 0..bytes.len() {
            let cut = of_openssh(&bytes[..length]);
            // Only padding may be missing.
            assert!(cut.is_err() || length + 8 >= bytes.len(), "{length}");
            let mut changed = bytes.clone();
            changed[length] ^= 0x80;
            let _ = of_openssh(&changed);
        }
    }

    #[test]
    fn what_is_left_of_a_division_is_right() {
        let number = |value: u128| value.to_be_bytes().to_vec();
        for (one, other) in [(0, 7), (6, 7), (7, 7), (1 << 100, 12345), (u128::MAX, (1 << 65) + 3)]
        {
            let left = remainder(&number(one), &number(other));
            assert_eq!(left, without_zeros(&number(one % other)), "{one} {other}");
        }
    }
}
