//! Tauri's build step. The embedded UI must exist as a folder, so that tests build on a fresh clone without npm.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("ui/dist")?;
    println!("cargo:rerun-if-changed=ui/dist");
    let attributes = tauri_build::Attributes::new().capabilities_path_pattern("src-tauri/capabilities/**/*");
    tauri_build::try_build(attributes)?;
    Ok(())
}
