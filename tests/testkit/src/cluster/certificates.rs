//! The keys and certificates of one cluster: created once, kept in a directory.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::FIRST_SERVICE_ADDRESS;
use crate::files;

/// The marker file that is written last: if it exists, all files do.
const COMPLETE: &str = "complete";

/// The location of each file.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// The certificates in this directory. Creates all of them unless all exist.
    pub(crate) fn ensure(dir: PathBuf, address: Ipv4Addr) -> anyhow::Result<Self> {
        let certificates = Self { dir };
        if !certificates.dir.join(COMPLETE).is_file() {
            certificates
                .create(address)
                .context("create the cluster's certificates")?;
        }
        Ok(certificates)
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.dir.join("apiserver.crt")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.dir.join("apiserver.key")
    }

    /// The client certificate of the API server for the kubelet.
    pub(crate) fn kubelet_client(&self) -> PathBuf {
        self.dir.join("kubelet-client.crt")
    }

    pub(crate) fn kubelet_client_key(&self) -> PathBuf {
        self.dir.join("kubelet-client.key")
    }

    /// The key that signs the tokens of service accounts.
    pub(crate) fn service_account_key(&self) -> PathBuf {
        self.dir.join("service-account.key")
    }

    pub(crate) fn service_account_public_key(&self) -> PathBuf {
        self.dir.join("service-account.pub")
    }

    fn create(&self, address: Ipv4Addr) -> anyhow::Result<()> {
        let authority = authority()?;
        files::write(&self.authority(), &authority.pem())?;

        let names: Vec<String> = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
            "127.0.0.1",
            FIRST_SERVICE_ADDRESS,
        ]
        .into_iter()
        .map(str::to_owned)
        .chain(std::iter::once(address.to_string()))
        .collect();
        let mut server = CertificateParams::new(names)?;
        server.distinguished_name = named("kube-apiserver", None);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        issue(&authority, server, &self.server(), &self.server_key())?;

        let mut client = CertificateParams::default();
        client.distinguished_name = named("kube-apiserver-kubelet-client", Some("system:masters"));
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        issue(&authority, client, &self.kubelet_client(), &self.kubelet_client_key())?;

        let service_account = KeyPair::generate()?;
        files::write_private(&self.service_account_key(), &service_account.serialize_pem())?;
        files::write(&self.service_account_public_key(), &service_account.public_key_pem())?;

        files::write(&self.dir.join(COMPLETE), "")
    }
}

fn authority() -> anyhow::Result<CertifiedIssuer<'static, KeyPair>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("steadfast-local-platform", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    mut params: CertificateParams,
    certificate: &Path,
    key: &Path,
) -> anyhow::Result<()> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let pair = KeyPair::generate()?;
    files::write(certificate, &params.signed_by(&pair, authority)?.pem())?;
    files::write_private(key, &pair.serialize_pem())
}

fn named(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
