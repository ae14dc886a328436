//! Content codings of HTTP (RFC 9110 section 8.4.1): gzip, deflate, br, zstd.
//! Proxies send them although nobody asked for them. Decodes chunk by chunk:
//! what a chunk holds is out before the next one comes.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Buffer of the brotli decoder.
const BROTLI_BUFFER_BYTES: usize = 16 << 10;
/// The first bytes that tell a coding apart from text.
const MAGIC_BYTES: usize = 2;
const GZIP_MAGIC: [u8; MAGIC_BYTES] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; MAGIC_BYTES] = [0x28, 0xb5];

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodingError {
    #[error("the content coding {0:?} is not supported; gzip, deflate, br and zstd are")]
    Unsupported(String),
    #[error("the body is not valid {coding}")]
    Malformed { coding: &'static str, source: io::Error },
}

/// Decodes a body.
pub(super) struct ContentDecoder {
    /// The outermost coding first.
    layers: Vec<Layer>,
    chunk_limit_bytes: usize,
    is_full: bool,
}

impl ContentDecoder {
    /// For the value of the header `content-encoding`, which names the innermost coding first. One chunk becomes at most
    /// so many bytes.
    pub(super) fn new(header: &str, chunk_limit_bytes: usize) -> Result<Self, CodingError> {
        let mut layers = Vec::new();
        for name in header.split(',').map(|name| name.trim().to_ascii_lowercase()) {
            let coding = match name.as_str() {
                "" | "identity" | "none" | "utf-8" | "aws-chunked" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(CodingError::Unsupported(name)),
            };
            layers.insert(0, Layer::Unknown(Some(coding), Vec::new()));
        }
        if layers.is_empty() {
            // Some proxies forget the header.
            layers.push(Layer::Unknown(None, Vec::new()));
        }
        Ok(Self {
            layers,
            chunk_limit_bytes,
            is_full: false,
        })
    }

    /// Whether a chunk became more than the limit: its rest is lost, and nothing can follow.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Decodes the next chunk; returns what is decoded so far.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Vec<u8>, CodingError> {
        let mut bytes = chunk.to_vec();
        for layer in &mut self.layers {
            let decoded = layer.push(&bytes, self.chunk_limit_bytes)?;
            self.is_full |= decoded.is_full;
            bytes = decoded.bytes;
        }
        Ok(bytes)
    }

    /// The body has ended: returns what was held back.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, CodingError> {
        let mut bytes = Vec::new();
        for layer in &mut self.layers {
            if !bytes.is_empty() {
                let decoded = layer.push(&bytes, self.chunk_limit_bytes)?;
                self.is_full |= decoded.is_full;
                bytes = decoded.bytes;
            }
            bytes.extend(layer.finish());
        }
        Ok(bytes)
    }
}

#[derive(Clone, Copy)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    /// The coding of a body that begins with these bytes; none if they are text, whatever the header says.
    fn of(named: Option<Self>, first: &[u8]) -> Option<Self> {
        match named {
            // These have no magic number.
            Some(Self::Brotli | Self::Deflate) => named,
            _ if first == GZIP_MAGIC => Some(Self::Gzip),
            _ if first == ZSTD_MAGIC => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn malformed(self, source: io::Error) -> CodingError {
        CodingError::Malformed {
            coding: self.name(),
            source,
        }
    }

    fn decoder(self, first: &[u8], limit_bytes: usize) -> io::Result<Box<dyn PushDecoder>> {
        let sink = Sink {
            limit_bytes,
            decoded: Decoded::default(),
        };
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(sink)),
            // RFC 9110 means the zlib format; some servers send the bare one.
            Self::Deflate if is_zlib(first) => Box::new(ZlibDecoder::new(sink)),
            Self::Deflate => Box::new(DeflateDecoder::new(sink)),
            Self::Brotli => Box::new(DecompressorWriter::new(sink, BROTLI_BUFFER_BYTES)),
            Self::Zstd => Box::new(zstd::stream::write::Decoder::new(sink)?),
        })
    }
}

/// RFC 1950 section 2.2: the method is 8, and both bytes are a multiple of 31.
fn is_zlib(first: &[u8]) -> bool {
    let [method, flags, ..] = first else { return false };
    method & 0x0f == 8 && u16::from_be_bytes([*method, *flags]) % 31 == 0
}

enum Layer {
    /// Before its first bytes: the coding that the header names, and the bytes so far.
    Unknown(Option<Coding>, Vec<u8>),
    Plain,
    Coded(Coding, Box<dyn PushDecoder>),
}

impl Layer {
    fn push(&mut self, bytes: &[u8], limit_bytes: usize) -> Result<Decoded, CodingError> {
        let Self::Unknown(named, held) = self else {
            return self.decode(bytes);
        };
        held.extend_from_slice(bytes);
        if held.len() < MAGIC_BYTES {
            return Ok(Decoded::default());
        }
        let (named, first) = (*named, std::mem::take(held));
        *self = match Coding::of(named, &first[..MAGIC_BYTES]) {
            None => Self::Plain,
            Some(coding) => {
                let decoder = coding
                    .decoder(&first, limit_bytes)
                    .map_err(|source| coding.malformed(source))?;
                Self::Coded(coding, decoder)
            }
        };
        self.decode(&first)
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, CodingError> {
        match self {
            Self::Coded(coding, decoder) => decoder.push(bytes).map_err(|source| coding.malformed(source)),
            Self::Plain | Self::Unknown(..) => Ok(Decoded {
                bytes: bytes.to_vec(),
                is_full: false,
            }),
        }
    }

    fn finish(&mut self) -> Vec<u8> {
        match self {
            Self::Unknown(_, held) => std::mem::take(held),
            Self::Plain | Self::Coded(..) => Vec::new(),
        }
    }
}

trait PushDecoder: Send {
    /// Decodes all of the bytes, and returns what came of them.
    fn push(&mut self, bytes: &[u8]) -> io::Result<Decoded>;
}

/// What a chunk has become.
#[derive(Default)]
struct Decoded {
    bytes: Vec<u8>,
    /// There is more of it than the limit.
    is_full: bool,
}

/// What a decoder writes to.
struct Sink {
    limit_bytes: usize,
    decoded: Decoded,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let decoded = &mut self.decoded;
        let room = self.limit_bytes.saturating_sub(decoded.bytes.len());
        decoded.bytes.extend_from_slice(&bytes[..room.min(bytes.len())]);
        if room < bytes.len() {
            decoded.is_full = true;
            return Err(io::Error::other("one chunk becomes more than its limit"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all of the bytes.
fn write_all(decoder: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match decoder.write(bytes)? {
            // Bytes after the end of the coded data.
            0 => break,
            count => bytes = &bytes[count..],
        }
    }
    decoder.flush()
}

macro_rules! push_decoders {
    ($($decoder:ty),+) => {
        $(impl PushDecoder for $decoder {
            fn push(&mut self, bytes: &[u8]) -> io::Result<Decoded> {
                let written = write_all(self, bytes);
                let decoded = std::mem::take(&mut self.get_mut().decoded);
                // A full sink is no fault of the data.
                if decoded.is_full { Ok(decoded) } else { written.map(|()| decoded) }
            }
        })+
    };
}

push_decoders!(
    MultiGzDecoder<Sink>,
    ZlibDecoder<Sink>,
    DeflateDecoder<Sink>,
    DecompressorWriter<Sink>,
    zstd::stream::write::Decoder<'static, Sink>
);

#[cfg(test)]
mod tests {
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };

    use super::*;

    const TEXT: &str = "data: {\"a\": \"né 雪\"}\n\ndata: [DONE]\n\n";
    /// [`TEXT`] in brotli.
    const BROTLI: &[u8] = &[
        0x8b, 0x12, 0x80, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x20, 0x7b, 0x22, 0x61, 0x22, 0x3a, 0x20, 0x22, 0x6e, 0xc3,
        0xa9, 0x20, 0xe9, 0x9b, 0xaa, 0x22, 0x7d, 0x0a, 0x0a, 0x64, 0x61, 0x74, 0x61, 0x3a, 0x20, 0x5b, 0x44, 0x4f,
        0x4e, 0x45, 0x5d, 0x0a, 0x0a, 0x03,
    ];

    const LIMIT_BYTES: usize = 1 << 20;

    /// Decodes byte by byte.
    fn decode(header: &str, bytes: &[u8]) -> String {
        let mut decoder = ContentDecoder::new(header, LIMIT_BYTES).unwrap();
        let mut text = Vec::new();
        for byte in bytes {
            text.extend(decoder.push(&[*byte]).unwrap());
        }
        text.extend(decoder.finish().unwrap());
        String::from_utf8(text).unwrap()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn every_coding_is_decoded_wherever_its_bytes_are_cut() {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(TEXT.as_bytes()).unwrap();
        let mut bare = DeflateEncoder::new(Vec::new(), Compression::default());
        bare.write_all(TEXT.as_bytes()).unwrap();
        let zstd = zstd::encode_all(TEXT.as_bytes(), 0).unwrap();
        let twice = gzip(&zstd);
        for (header, bytes) in [
            ("", TEXT.as_bytes().to_vec()),
            ("identity", TEXT.as_bytes().to_vec()),
            ("gzip", gzip(TEXT.as_bytes())),
            ("X-GZIP", gzip(TEXT.as_bytes())),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", bare.finish().unwrap()),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd),
            ("zstd, gzip", twice),
            // A header that is missing, and one that is not true.
            ("", gzip(TEXT.as_bytes())),
            ("gzip", TEXT.as_bytes().to_vec()),
        ] {
            assert_eq!(decode(header, &bytes), TEXT, "{header}");
        }
    }

    #[test]
    fn what_a_server_flushed_is_decoded_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(b"data: 1\n\n").unwrap();
        encoder.flush().unwrap();
        let mut decoder = ContentDecoder::new("gzip", LIMIT_BYTES).unwrap();
        assert_eq!(decoder.push(encoder.get_ref()).unwrap(), b"data: 1\n\n");
    }

    #[test]
    fn an_unknown_coding_and_malformed_bytes_are_errors() {
        let unsupported = ContentDecoder::new("snappy", LIMIT_BYTES).err().unwrap();
        assert!(unsupported.to_string().contains("snappy"), "{unsupported}");
        let mut decoder = ContentDecoder::new("gzip", LIMIT_BYTES).unwrap();
        let mut bytes = gzip(TEXT.as_bytes());
        bytes[10..].fill(0xff);
        assert!(decoder.push(&bytes).is_err());
    }

    #[test]
    fn a_chunk_becomes_no_more_than_its_limit() {
        let text = vec![b'a'; 100_000];
        for (header, bytes) in [
            ("gzip", gzip(&text)),
            ("zstd", zstd::encode_all(text.as_slice(), 0).unwrap()),
            ("zstd, gzip", gzip(&zstd::encode_all(text.as_slice(), 0).unwrap())),
        ] {
            let mut decoder = ContentDecoder::new(header, 1_000).unwrap();
            assert_eq!(decoder.push(&bytes).unwrap(), vec![b'a'; 1_000], "{header}");
            assert!(decoder.is_full());
        }
    }
}
