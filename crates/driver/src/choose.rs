//! Picks the backend of a data dir, and opens or makes it.
//!
//! What a data dir was made with stays. It does not know what a backend does.

use std::path::Path;
use std::sync::Arc;

use crate::args::BackendChoice;
use crate::backend::Backend;
use crate::directory::Directory;
use crate::driver::Config;
use crate::image::{self, Image, Pool, PoolKind};
use crate::null::Null;
use crate::refusal::Refusal;
use crate::shelf::Shelf;
use crate::store::{Claim, Label, OpenError};

/// An opened backend.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) backend: Box<dyn Backend>,
    /// Where publications are remembered.
    pub(crate) shelf: Arc<Shelf>,
    /// Why this one, in words.
    pub(crate) reason: String,
}

/// Opens what is there, or makes what is asked for.
pub(crate) fn open(config: &Config, claim: &Claim) -> Result<Opened, OpenError> {
    match claim.label()? {
        Some(label) => open_found(config, claim, &label),
        None => make(config, claim),
    }
}

/// Opens what is there so that nothing changes: nothing is swept, made, thawed or made larger.
pub(crate) fn look(claim: &Claim) -> Result<Opened, OpenError> {
    let root = &claim.root;
    let Some(label) = claim.label()? else {
        return Err(OpenError::NoStore(root.clone()));
    };
    let reason = "the data dir was made with it".to_owned();
    match label.backend.as_str() {
        "image" => {
            image::possible()?;
            let pool = Pool::look(root, pool_of(root, &label)?)?;
            Ok(opened_image(Image::look(root, pool)?, reason))
        }
        "directory" => Ok(opened_directory(Shelf::look(root)?, reason)),
        "null" => Ok(Opened {
            backend: Box::new(Null::look(root)?),
            shelf: Arc::new(Shelf::look(root)?),
            reason,
        }),
        other => Err(unknown(root, other)),
    }
}

fn pool_of(root: &Path, label: &Label) -> Result<PoolKind, OpenError> {
    label.pool.ok_or_else(|| OpenError::Damaged {
        path: root.to_owned(),
        problem: "it does not say where its pool is".to_owned(),
    })
}

fn unknown(root: &Path, backend: &str) -> OpenError {
    OpenError::Damaged {
        path: root.to_owned(),
        problem: format!("it was made with backend {backend:?}, which is unknown here"),
    }
}

fn open_found(config: &Config, claim: &Claim, label: &Label) -> Result<Opened, OpenError> {
    let root = &claim.root;
    let asked = match config.backend {
        BackendChoice::Auto => None,
        BackendChoice::Image => Some("image"),
        BackendChoice::Directory => Some("directory"),
        BackendChoice::Null => Some("null"),
    };
    if let Some(asked) = asked.filter(|asked| *asked != label.backend) {
        let (path, found) = (root.clone(), label.backend.clone());
        return Err(OpenError::OtherBackend { path, found, asked });
    }
    let reason = match asked {
        Some(_) => "asked for".to_owned(),
        None => "the data dir was made with it".to_owned(),
    };
    match label.backend.as_str() {
        "image" => {
            image::possible()?;
            let kind = pool_of(root, label)?;
            Ok(opened_image(
                Image::open(root, Pool::open(root, kind, config.pool_size)?)?,
                reason,
            ))
        }
        "directory" => directory(root, reason),
        "null" => null(root, reason),
        other => Err(unknown(root, other)),
    }
}

fn make(config: &Config, claim: &Claim) -> Result<Opened, OpenError> {
    let root = &claim.root;
    let reason = match config.backend {
        BackendChoice::Null => {
            claim.write(&Label::of("null"))?;
            return null(root, "asked for".to_owned());
        }
        BackendChoice::Directory => "asked for".to_owned(),
        BackendChoice::Image => {
            return Ok(make_image(config, claim, "asked for")?);
        }
        BackendChoice::Auto => {
            let why = "auto: rights, programs and loop devices for it are there";
            match make_image(config, claim, why) {
                Ok(opened) => return Ok(opened),
                // Written down that it is one: what failed came after, and is no reason to choose.
                Err(refusal) if claim.label()?.is_some() => return Err(refusal.into()),
                Err(refusal) => {
                    Pool::forget(root)?;
                    format!("auto: `image` does not work here: {refusal}")
                }
            }
        }
    };
    claim.write(&Label::of("directory"))?;
    directory(root, reason)
}

fn make_image(config: &Config, claim: &Claim, reason: &str) -> Result<Opened, Refusal> {
    image::possible()?;
    let pool = Pool::make(&claim.root, config.pool_size)?;
    claim.write(&Label {
        backend: "image".to_owned(),
        pool: Some(pool.kind()),
    })?;
    pool.keep()?;
    Ok(opened_image(
        Image::open(&claim.root, pool)?,
        reason.to_owned(),
    ))
}

fn opened_image(image: Image, reason: String) -> Opened {
    Opened {
        shelf: image.shelf(),
        backend: Box::new(image),
        reason,
    }
}

fn directory(root: &Path, reason: String) -> Result<Opened, OpenError> {
    Ok(opened_directory(Shelf::open(root)?, reason))
}

fn opened_directory(shelf: Shelf, reason: String) -> Opened {
    let shelf = Arc::new(shelf);
    Opened {
        backend: Box::new(Directory::new(Arc::clone(&shelf))),
        shelf,
        reason,
    }
}

fn null(root: &Path, reason: String) -> Result<Opened, OpenError> {
    Ok(Opened {
        backend: Box::new(Null::open(root)?),
        shelf: Arc::new(Shelf::open(root)?),
        reason,
    })
}
