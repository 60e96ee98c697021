"""`aws.rotate-access-key`: an access key of an IAM user to a new one that its user already has; the old one ends.

The new key is put into the file that the settings name, as an AWS credentials file of mode 0600, before the old one is
made inactive. A user has two keys at most: one that an interrupted run made and could not hand over is deleted first.
"""

import configparser
import io
from pathlib import Path

from actions.aws import Aws, AwsSettings
from actions.credentials.aws_disable_access_key import AwsDisableAccessKeyParams
from actions.support import TargetError, describe, failed, replace
from engine.action import Action, ActionContext
from engine.model import (
    AlreadyInPlace,
    Applied,
    Failed,
    InForce,
    Json,
    NotInForce,
    Plan,
    Receipt,
    Refused,
    Target,
    Unknown,
    Verification,
)


class AwsRotateAccessKeySettings(AwsSettings, frozen=True):
    """As for `aws.disable-access-key`; `files`: for each IAM user the credentials file in which it reads its key."""

    files: dict[str, str] = {}


class AwsRotateAccessKey(Action[AwsDisableAccessKeyParams]):
    """Makes a new access key, hands it to its user as a credentials file, and makes the old one inactive.

    Irreversible: a key that may be in strange hands is never made active again.
    """

    name = "aws.rotate-access-key"
    params = AwsDisableAccessKeyParams
    settings = AwsRotateAccessKeySettings
    target_kind = "credential"
    reversible = False
    privileges = (
        "iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey on the user, and write"
        " access to the folder of its credentials file; `pip install 'halon[aws]'`"
    )
    example = '{ do = "aws.rotate-access-key", user = "trainer", access_key_id = "AKIAIOSFODNN7EXAMPLE" }'

    async def check(self, params: AwsDisableAccessKeyParams, context: ActionContext) -> Plan | Refused | Failed:
        try:
            path, keys = self._path(params), await self._keys(params, context)
            others: list[Json] = [each for each in keys if each != params.access_key_id]
            if params.access_key_id not in keys:
                return Failed(
                    f"{params.user} has no access key {params.access_key_id}; it has {', '.join(keys) or 'none'}"
                )
            if others and _key_in(path) not in others:
                return Refused(f"{params.user} has two access keys, and can't have a third; delete {others[0]} first")
        except TargetError as error:
            return failed(error)
        return Plan(
            target=Target("credential", f"aws {params.access_key_id}", {"user": params.user}),
            would=f"give {params.user} a new access key in {path} and make {params.access_key_id} inactive",
            receipt={"others": others},
        )

    async def apply(
        self, params: AwsDisableAccessKeyParams, plan: Plan, context: ActionContext
    ) -> Applied | AlreadyInPlace | Refused | Failed:
        try:
            path, keys = self._path(params), await self._keys(params, context)
            if not _why_not(params, keys, path):
                return AlreadyInPlace(plan.receipt, "the old key was ended already")
            if _key_in(path) not in keys or _key_in(path) == params.access_key_id:
                before = plan.receipt.get("others")
                for each in keys:
                    if each != params.access_key_id and each not in (before if isinstance(before, list) else []):
                        await self._iam(context).call("delete_access_key", UserName=params.user, AccessKeyId=each)
                made = (await self._iam(context).call("create_access_key", UserName=params.user))["AccessKey"]
                _hand_over(path, made["AccessKeyId"], made["SecretAccessKey"], context)
            await self._iam(context).call(
                "update_access_key", UserName=params.user, AccessKeyId=params.access_key_id, Status="Inactive"
            )
        except TargetError as error:
            return failed(error)
        return Applied(plan.receipt, f"{params.user} has a new access key in {path}; the old one is inactive")

    async def verify(self, params: AwsDisableAccessKeyParams, receipt: Receipt, context: ActionContext) -> Verification:
        try:
            path, keys = self._path(params), await self._keys(params, context)
            why = _why_not(params, keys, path)
        except TargetError as error:
            return Unknown(str(error))
        return NotInForce(why) if why else InForce(f"only the key in {path} is active")

    async def _keys(self, params: AwsDisableAccessKeyParams, context: ActionContext) -> dict[str, str]:
        """The user's keys with their status. Raises TargetError."""
        answer = await self._iam(context).found("list_access_keys", "check the name of the user", UserName=params.user)
        return {each["AccessKeyId"]: each["Status"] for each in answer["AccessKeyMetadata"]}

    def _path(self, params: AwsDisableAccessKeyParams) -> Path:
        path = self._own().files.get(params.user)
        if path is None:
            raise TargetError(f"no file is named for `{params.user}`; add it to `files` of this action in config.toml")
        if not Path(path).is_absolute() or Path(path).is_symlink() or not Path(path).parent.is_dir():
            raise TargetError(f"{path} must be an absolute path in an existing folder, and no symbolic link")
        return Path(path)

    def _iam(self, context: ActionContext) -> Aws:
        return Aws("iam", self._own(), context)

    def _own(self) -> AwsRotateAccessKeySettings:
        assert isinstance(self._settings, AwsRotateAccessKeySettings)
        return self._settings


def _why_not(params: AwsDisableAccessKeyParams, keys: dict[str, str], path: Path) -> str:
    """Why the rotation is not in force; empty where it is."""
    if keys.get(params.access_key_id) == "Active":
        return f"{params.access_key_id} is active"
    if keys.get(_key_in(path)) != "Active":
        return f"the key in {path} is not an active one of {params.user}"
    return f"{path} can be read by others" if path.stat().st_mode & 0o077 else ""


def _key_in(path: Path) -> str:
    """The id of the key in a credentials file; empty where there is none. Raises TargetError."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
        return parser.get("default", "aws_access_key_id", fallback="")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TargetError(f"can't read the credentials file: {describe(error)}; let halond read it") from error
    except (configparser.Error, UnicodeDecodeError) as error:
        raise TargetError(f"{path} is no AWS credentials file; move it away") from error


def _hand_over(path: Path, key_id: str, secret: str, context: ActionContext) -> None:
    text = io.StringIO()
    parser = configparser.RawConfigParser()
    parser["default"] = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    parser.write(text)
    try:
        like = path.stat() if path.exists() else None
        staged = path.with_name(f".{path.name}.{context.intent}.new")
        replace(path, text.getvalue().encode(), mode=0o600, like=like, staged=staged)
    except OSError as error:
        raise TargetError(
            f"the new key {key_id} can't be put into {path}: {describe(error)}; correct that and run the step again"
        ) from error
