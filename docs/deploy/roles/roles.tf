# The four custom roles of a2a-kms. Use it as a module, or copy it:
#
#   module "a2a_roles" {
#     source  = "./roles"
#     project = "my-project"
#   }

variable "project" {
  type        = string
  description = "Id of the project that has the roles."
}

resource "google_project_iam_custom_role" "a2a_signer" {
  project     = var.project
  role_id     = "a2aSigner"
  title       = "a2a-kms signer"
  description = "Signs with an agent's key. Grant it on that key."
  permissions = [
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.useToSign",
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "cloudkms.cryptoKeys.get",
  ]
}

resource "google_project_iam_custom_role" "a2a_verifier" {
  project     = var.project
  role_id     = "a2aVerifier"
  title       = "a2a-kms verifier"
  description = "Reads public keys, to verify signatures and to encrypt to an agent. Grant it on a key or the key ring."
  permissions = [
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "cloudkms.cryptoKeys.get",
  ]
}

resource "google_project_iam_custom_role" "a2a_rotator" {
  project     = var.project
  role_id     = "a2aRotator"
  title       = "a2a-kms rotator"
  description = "Makes new versions, puts them to use, retires old ones and schedules spare and retired ones for destruction. Grant it on a key or the key ring."
  permissions = [
    "cloudkms.cryptoKeyVersions.create",
    "cloudkms.cryptoKeyVersions.destroy",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.update",
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.list",
    "cloudkms.cryptoKeys.update",
  ]
}

resource "google_project_iam_custom_role" "a2a_administrator" {
  project     = var.project
  role_id     = "a2aAdministrator"
  title       = "a2a-kms administrator"
  description = "Creates, imports, rotates, destroys and restores keys and says who may use them. It does not hold the use of keys, and can grant it, also to itself. Grant it on the key ring."
  permissions = [
    "cloudkms.cryptoKeyVersions.create",
    "cloudkms.cryptoKeyVersions.destroy",
    "cloudkms.cryptoKeyVersions.get",
    "cloudkms.cryptoKeyVersions.list",
    "cloudkms.cryptoKeyVersions.restore",
    "cloudkms.cryptoKeyVersions.update",
    "cloudkms.cryptoKeyVersions.viewPublicKey",
    "cloudkms.cryptoKeys.create",
    "cloudkms.cryptoKeys.get",
    "cloudkms.cryptoKeys.getIamPolicy",
    "cloudkms.cryptoKeys.list",
    "cloudkms.cryptoKeys.setIamPolicy",
    "cloudkms.cryptoKeys.update",
    "cloudkms.importJobs.create",
    "cloudkms.importJobs.get",
    "cloudkms.importJobs.useToImport",
    "cloudkms.keyRings.create",
    "cloudkms.keyRings.get",
  ]
}
