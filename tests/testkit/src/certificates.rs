//! A private certificate authority, and certificates for servers and clients of a test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{files, temp_dir::TempDir};

/// An authority that nobody trusts unless told to. Its files are removed with the value.
#[derive(Debug)]
pub struct CertificateAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

/// The files of a certificate and its private key, in PEM form.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl CertificateAuthority {
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        // Clients choose a trusted certificate by its name, so two authorities must not share one.
        let name = format!("authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority = Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)?,
            dir: TempDir::new("certificates")?,
        };
        files::write(&authority.certificate(), &authority.issuer.pem())?;
        Ok(authority)
    }

    /// The file of the authority's own certificate.
    pub fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Issues a certificate of a server for these host names and IP addresses.
    pub fn server(&self, names: &[&str]) -> anyhow::Result<Certificate> {
        let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        self.issue("server", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Issues a certificate of a client.
    pub fn client(&self, name: &str) -> anyhow::Result<Certificate> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        self.issue(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn issue(
        &self,
        name: &str,
        mut params: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<Certificate> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let files = Certificate {
            certificate: self.file(&format!("{name}.crt")),
            key: self.file(&format!("{name}.key")),
        };
        files::write(&files.certificate, &params.signed_by(&key, &self.issuer)?.pem())?;
        files::write_private(&files.key, &key.serialize_pem())?;
        Ok(files)
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}
