//! Reads certificates and private keys in PEM form, from a file or from a value
//! such as an environment variable. A text without a certificate or a key is
//! refused here, when the program starts, and not at the first connection.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// The text cannot be used as a certificate or a private key.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file cannot be read.
    #[error("read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The text holds no `BEGIN CERTIFICATE` block.
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(String),
    /// The text holds no `BEGIN PRIVATE KEY` block (or `RSA`, `EC`).
    #[error("{0} holds no private key in PEM form")]
    NoPrivateKey(String),
}

/// Reads one or more certificates: from `path`, or else from `data`. `None` when both are absent or empty.
/// `setting` names the data in errors; the data itself is never shown.
pub fn read_certificates(setting: &str, path: Option<&Path>, data: Option<&str>) -> Result<Option<String>, PemError> {
    let Some((origin, text)) = read(setting, path, data)? else {
        return Ok(None);
    };
    match CertificateDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(PemError::NoCertificate(origin)),
    }
}

/// Reads a private key, like [`read_certificates`].
pub fn read_private_key(setting: &str, path: Option<&Path>, data: Option<&str>) -> Result<Option<String>, PemError> {
    let Some((origin, text)) = read(setting, path, data)? else {
        return Ok(None);
    };
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(PemError::NoPrivateKey(origin)),
    }
}

fn read(setting: &str, path: Option<&Path>, data: Option<&str>) -> Result<Option<(String, String)>, PemError> {
    if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
        let text = fs::read_to_string(path).map_err(|source| PemError::ReadFile {
            path: path.to_owned(),
            source,
        })?;
        return Ok(Some((path.display().to_string(), text)));
    }
    let data = data.filter(|data| !data.is_empty());
    Ok(data.map(|data| (setting.to_owned(), data.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_empty_values_are_no_certificate() {
        assert_eq!(read_certificates("CA", None, None).unwrap(), None);
        assert_eq!(read_certificates("CA", Some(Path::new("")), Some("")).unwrap(), None);
    }

    #[test]
    fn an_error_names_the_setting_and_never_shows_the_data() {
        let error = read_private_key("THE_KEY", None, Some("hunter2")).unwrap_err();
        assert_eq!(error.to_string(), "THE_KEY holds no private key in PEM form");
        let error = read_certificates("CA", Some(Path::new("/nowhere/ca.crt")), None).unwrap_err();
        assert_eq!(error.to_string(), "read /nowhere/ca.crt");
    }
}
