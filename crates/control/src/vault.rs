//! The vault: the secrets of phones as digests, encrypted at rest.
//!
//! `phones.vault` in the folder of `[edge] data` is AES-256-GCM under the key in `phones.key`
//! beside it (mode 0600): a random nonce, then the ciphertext with its tag. A new file takes the
//! old one's place whole, so that a crash leaves one or the other. No password is ever in it: only
//! what digest authentication compares with (RFC 7616 §3.4.2), for one realm.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use ringfence_base::Secret;
use ringfence_session::registrar::group::Digests;
use ringfence_sip::digest::{Algorithm, Ha1};
use serde::{Deserialize, Serialize};

const VAULT: &str = "phones.vault";
const KEY: &str = "phones.key";
const KEY_BYTES: usize = 32;
/// Largest vault.
const VAULT_BYTES_MAX: u64 = 256 << 20;
/// Bound to the ciphertext, so that no other file passes for it.
const PURPOSE: &[u8] = b"ringfence phones 1";

/// The users whose secrets are in the vault, by group and name.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    groups: BTreeMap<String, BTreeMap<String, Kept>>,
}

/// What is kept of one user.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The realm that the digests are for.
    pub realm: String,
    /// The user's number, if it was given.
    pub number: Option<String>,
    /// The digests.
    pub digests: Digests,
}

/// A vault that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The vault is there, its key is not.
    #[error("{} is missing, and nothing else opens the vault", path.display())]
    NoKey {
        /// Where the key should be.
        path: PathBuf,
    },
    /// The key is readable for others.
    #[error("{} can be read by other users of this host; run: chmod 600 {}", path.display(), path.display())]
    OpenKey {
        /// The key's file.
        path: PathBuf,
    },
    /// The vault was not written with this key, or was changed.
    #[error("{} does not open with its key", path.display())]
    Sealed {
        /// The vault's file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The vault as it is written, before encryption.
#[derive(Default, Serialize, Deserialize)]
struct Written {
    groups: BTreeMap<String, BTreeMap<String, WrittenUser>>,
}

#[derive(Serialize, Deserialize)]
struct WrittenUser {
    realm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    md5: String,
    sha256: String,
}

impl Vault {
    /// Opens the vault of `data`; without one there are no users.
    pub fn open(data: &Path) -> Result<Vault, VaultError> {
        let path = data.join(VAULT);
        let length = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vault::default()),
            Err(source) => return Err(VaultError::File { path, source }),
        };
        let sealed = || VaultError::Sealed { path: path.clone() };
        if length > VAULT_BYTES_MAX {
            return Err(sealed());
        }
        let key = read_key(data)?;
        let mut bytes = fs::read(&path).map_err(|source| VaultError::File {
            path: path.clone(),
            source,
        })?;
        let (nonce, ciphertext) = bytes.split_at_mut_checked(NONCE_LEN).ok_or_else(sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| sealed())?;
        let plain = key
            .open_in_place(nonce, Aad::from(PURPOSE), ciphertext)
            .map_err(|_| sealed())?;
        let written: Option<Written> = serde_json::from_slice(plain).ok();
        // It holds digests that are as good as passwords.
        plain.fill(0);
        let vault = written.and_then(Vault::read);
        vault.ok_or_else(sealed)
    }

    /// Writes the vault of `data`, and its key if there is none yet.
    pub fn save(&self, data: &Path) -> Result<(), VaultError> {
        let path = data.join(VAULT);
        let key = match read_key(data) {
            Err(VaultError::NoKey { .. }) if !path.exists() => make_key(data)?,
            key => key?,
        };
        let plain = Secret::new(serde_json::to_vec(&self.written()).unwrap_or_default());
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| VaultError::Random)?;
        let mut bytes = plain.expose().to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(unique, Aad::from(PURPOSE), &mut bytes)
            .map_err(|_| VaultError::Random)?;
        bytes.splice(0..0, nonce);
        replace(&path, &bytes)
    }

    /// The users of a group, in order of their names.
    pub fn users(&self, group: &str) -> impl Iterator<Item = (&str, &Kept)> {
        let users = self.groups.get(group).into_iter().flatten();
        users.map(|(name, kept)| (name.as_str(), kept))
    }

    /// Puts a user in, in the place of one of the same name.
    pub fn insert(&mut self, group: &str, name: &str, kept: Kept) {
        let users = self.groups.entry(group.to_owned()).or_default();
        users.insert(name.to_owned(), kept);
    }

    fn read(written: Written) -> Option<Vault> {
        let mut vault = Vault::default();
        for (group, users) in written.groups {
            for (name, user) in users {
                let kept = Kept {
                    realm: user.realm,
                    number: user.number,
                    digests: Digests {
                        md5: Ha1::from_hex(Algorithm::Md5, user.md5.as_bytes())?,
                        sha256: Ha1::from_hex(Algorithm::Sha256, user.sha256.as_bytes())?,
                    },
                };
                vault.insert(&group, &name, kept);
            }
        }
        Some(vault)
    }

    fn written(&self) -> Written {
        let hex = |ha1: &Ha1| String::from_utf8_lossy(ha1.expose_hex()).into_owned();
        let user = |(name, kept): (&String, &Kept)| {
            let user = WrittenUser {
                realm: kept.realm.clone(),
                number: kept.number.clone(),
                md5: hex(&kept.digests.md5),
                sha256: hex(&kept.digests.sha256),
            };
            (name.clone(), user)
        };
        let group = |(name, users): (&String, &BTreeMap<String, Kept>)| {
            (name.clone(), users.iter().map(user).collect())
        };
        Written {
            groups: self.groups.iter().map(group).collect(),
        }
    }
}

/// A password that nobody guesses: 120 bits in letters and digits that are not mistaken for each
/// other.
pub fn generate_password() -> Result<Secret, VaultError> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 24];
    rand::fill(&mut random).map_err(|_| VaultError::Random)?;
    let letter = |byte: &u8| LETTERS[usize::from(byte % 32)];
    Ok(Secret::new(random.iter().map(letter).collect()))
}

fn read_key(data: &Path) -> Result<LessSafeKey, VaultError> {
    let path = data.join(KEY);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(VaultError::NoKey { path });
        }
        Err(source) => return Err(VaultError::File { path, source }),
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(VaultError::OpenKey { path });
    }
    let bytes = fs::read(&path)
        .map(Secret::new)
        .map_err(|source| VaultError::File {
            path: path.clone(),
            source,
        })?;
    let key = UnboundKey::new(&AES_256_GCM, bytes.expose());
    key.map(LessSafeKey::new)
        .map_err(|_| VaultError::Sealed { path })
}

fn make_key(data: &Path) -> Result<LessSafeKey, VaultError> {
    let path = data.join(KEY);
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| VaultError::Random)?;
    let bytes = Secret::new(bytes.to_vec());
    replace(&path, bytes.expose())?;
    read_key(data)
}

/// Writes a file that only we read, whole or not at all.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), VaultError> {
    let failed = |source| VaultError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        use std::os::unix::fs::DirBuilderExt;
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder);
        made.map_err(failed)?;
    }
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&beside);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_passwords_differ_and_are_typed_without_doubt() {
        let [one, other] = [(); 2].map(|()| generate_password().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 24);
        assert!(!one.expose().iter().any(|byte| b"lo01".contains(byte)));
    }

    fn kept(password: &[u8]) -> Kept {
        Kept {
            realm: "summit.example".to_owned(),
            number: Some("+13305550101".to_owned()),
            digests: Digests::new("alice", "summit.example", password).unwrap(),
        }
    }

    #[test]
    fn what_is_saved_is_read_again_and_is_not_readable_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut vault = Vault::open(folder.path()).unwrap();
        vault.insert("remote", "alice", kept(b"wonderland"));
        vault.save(folder.path()).unwrap();
        let read = Vault::open(folder.path()).unwrap();
        let (name, user) = read.users("remote").next().unwrap();
        assert_eq!(name, "alice");
        let expected = kept(b"wonderland");
        assert_eq!(
            user.digests.md5.expose_hex(),
            expected.digests.md5.expose_hex()
        );
        let bytes = fs::read(folder.path().join(VAULT)).unwrap();
        let hex = expected.digests.sha256.expose_hex();
        assert!(!bytes.windows(hex.len()).any(|window| window == hex));
        assert!(!bytes.windows(5).any(|window| window == b"alice"));
        for file in [VAULT, KEY] {
            let mode = fs::metadata(folder.path().join(file))
                .unwrap()
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn a_changed_vault_a_foreign_key_and_an_open_key_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut vault = Vault::default();
        vault.insert("remote", "alice", kept(b"wonderland"));
        vault.save(folder.path()).unwrap();
        let path = folder.path().join(VAULT);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, &bad).unwrap();
        let error = Vault::open(folder.path()).unwrap_err();
        assert!(matches!(error, VaultError::Sealed { .. }), "{error}");
        fs::write(&path, &good).unwrap();
        let key = folder.path().join(KEY);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let error = Vault::open(folder.path()).unwrap_err();
        assert!(matches!(error, VaultError::OpenKey { .. }), "{error}");
        fs::remove_file(&key).unwrap();
        let error = Vault::open(folder.path()).unwrap_err();
        assert!(matches!(error, VaultError::NoKey { .. }), "{error}");
        let error = vault.save(folder.path()).unwrap_err();
        assert!(
            matches!(error, VaultError::NoKey { .. }),
            "a new key would lose the old vault"
        );
    }
}
