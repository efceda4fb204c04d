//! Drives the driver through a real socket with the CSI client.

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod fsck;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod images;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod publishing;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod shortage;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod space;
#[cfg(test)]
mod topology;
#[cfg(test)]
mod volumes;
