//! Tauri's build step. The embedded UI must exist as a folder, so that tests build on a fresh clone without npm.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all("ui/dist")?;
    println!("cargo:rerun-if-changed=ui/dist");
    println!("cargo:rerun-if-changed=src-tauri/permissions");
    // With a manifest of its own the app's commands need a permission like any plugin's; without one every window may call all.
    let manifest = tauri_build::AppManifest::new().permissions_path_pattern("src-tauri/permissions/*.toml");
    let attributes =
        tauri_build::Attributes::new().capabilities_path_pattern("src-tauri/capabilities/**/*").app_manifest(manifest);
    tauri_build::try_build(attributes)?;
    Ok(())
}
