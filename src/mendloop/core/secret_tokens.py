"""
Secrets that are known by their own shape.

The shapes are those that the services document, or that the scanners of the field (gitleaks,
detect-secrets, GitHub's secret scanning) publish; lengths are lower bounds. None is shorter than
MIN_TOKEN_LENGTH or holds a blank, so that most words of a text need no look.
"""

from __future__ import annotations

import re

from mendloop.core.secret_rules import START, Rule, rule

__all__ = ["MIN_TOKEN_LENGTH", "TOKEN_RULES"]

MIN_TOKEN_LENGTH = 15


def _has_digit(match: re.Match[str]) -> bool:
    return any(character.isdigit() for character in match["secret"])


def _is_mixed(match: re.Match[str]) -> bool:
    secret = match["secret"]
    return _has_digit(match) or (secret != secret.lower() and secret != secret.upper())


def _token(kind: str, hints: str, shape: str, *, check: bool = False, finder: str = "") -> Rule:
    """A rule for a token of *shape*; *check* asks for a digit or both cases in it."""
    pattern = f"{START}(?P<secret>{shape})"
    return rule(kind, hints, pattern, _is_mixed if check else None, finder=finder)


TOKEN_RULES = (
    _token(
        "github token",
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_",
        r"gh[opusr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}",
    ),
    _token(
        "gitlab token",
        "glpat- gloas- gldt- glrt- glrtr- glcbt- glptt- glft- glimt- glagent- glsoat- glffct-",
        r"gl(?:pat|oas|dt|rtr?|cbt|ptt|ft|imt|agent|soat|ffct)-[\w-]{16,}(?:\.[\w-]+)*",
    ),
    _token("gitlab token", "gr1348941", r"GR1348941[\w-]{20,}"),
    rule(
        "aws secret key",
        "akia asia",
        START + r"A[KS]IA[A-Z0-9]{16,}[\s\"']{0,3}[\s,:;|]{1,3}[\"']?"
        r"(?P<secret>[A-Za-z0-9+/]{40,})(?![A-Za-z0-9+/=])",
    ),
    _token("aws key id", "akia asia abia acca", r"A[BKS]IA[A-Z0-9]{16,}|ACCA[A-Z0-9]{16,}"),
    _token(
        "aws session token",
        "iqojb3jpz2lu fwogzxivyxdz fqogzxivyxdz",
        r"(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)(?:[A-Za-z0-9+/=]|%2[BbFf]|%3[Dd]){30,}",
    ),
    _token("aws bedrock key", "absk", r"ABSK[A-Za-z0-9+/]{100,}=*"),
    _token("google api key", "aiza", r"AIza[\w-]{35,}"),
    _token("google token", "ya29. gocspx-", r"ya29\.[\w.-]{20,}|GOCSPX-[\w-]{20,}"),
    _token("google token", "1//0", r"1//0[\w-]{30,}"),
    _token(
        "azure client secret",
        "q~",
        r"[\w.~]{3}\dQ~[\w.~-]{31,}",
        finder=r"[\w.~]{3}\dq~",
    ),
    _token(
        "azure devops token",
        "azdo",
        r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4,}",
        finder=r"[a-z0-9]{76}azdo",
    ),
    _token(
        "slack token",
        "xoxa xoxb xoxe xoxo xoxp xoxr xoxs",
        r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10,}",
    ),
    _token("slack token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{10,}"),
    _token(
        "slack webhook",
        "hooks.slack.com",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/-]{20,}",
    ),
    _token(
        "discord webhook",
        "discord.com/api/webhooks/ discordapp.com/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/\d{5,}/[\w-]{30,}",
    ),
    rule("discord token", "mfa.", START + r"(?P<secret>mfa\.[\w-]{60,})", _has_digit),
    rule(
        "discord token",
        "",
        START + r"(?P<secret>[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,})",
        _has_digit,
        finder=r"[mno](?=[\w-]{22,28}\.[\w-]{6}\.[\w-]{27})",
    ),
    _token("telegram token", ":aa", r"\d{8,10}:AA[\w-]{32,}", finder=r"\d{8,10}:aa"),
    _token("stripe key", "sk_live_ sk_test_ rk_live_ rk_test_", r"[rs]k_(?:live|test)_\w{16,}"),
    _token("stripe key", "whsec_", r"whsec_[A-Za-z0-9+/=]{24,}"),
    _token("twilio key", "", r"SK[0-9a-f]{32,}(?![A-Za-z0-9])", finder="sk(?=[0-9a-f]{32})"),
    _token("sendgrid key", "sg.", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    _token("mailgun key", "key- privkey-", r"(?:priv)?key-[0-9a-f]{32,}(?![0-9a-z])"),
    _token(
        "mailgun key",
        "",
        r"(?<![-])[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}(?![0-9a-zA-Z-])",
        finder="[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}",
    ),
    _token("mailchimp key", "-us", r"[0-9a-f]{32}-us\d{1,2}\b", finder=r"[0-9a-f]{32}-us\d"),
    _token("npm token", "npm_", r"npm_[A-Za-z0-9]{30,}"),
    _token("pypi token", "pypi-", r"pypi-AgE[\w-]{30,}"),
    _token("rubygems key", "rubygems_", r"rubygems_[0-9a-f]{40,}"),
    _token("nuget key", "oy2", r"oy2[a-z0-9]{43,}"),
    _token("docker token", "dckr_", r"dckr_(?:pat|oat)_[\w-]{20,}"),
    _token("hugging face token", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,}", check=True),
    _token("anthropic key", "sk-ant-", r"sk-ant-[\w-]{20,}"),
    rule(
        "api key",
        "",
        START + r"(?<!-)(?P<secret>sk-[\w-]{20,})",
        _has_digit,
        finder=r"sk-(?=[\w-]{20})",
    ),
    _token("groq key", "gsk_", r"gsk_[A-Za-z0-9]{40,}"),
    _token("replicate token", "r8_", r"r8_[A-Za-z0-9]{30,}"),
    _token("xai key", "xai-", r"xai-[A-Za-z0-9]{40,}"),
    _token("perplexity key", "pplx-", r"pplx-[A-Za-z0-9]{40,}"),
    _token("digitalocean token", "dop_v1_ doo_v1_ dor_v1_", r"do[opr]_v1_[0-9a-f]{40,}"),
    _token("heroku key", "hrku-", r"HRKU-[\w-]{36,}"),
    _token("cloudflare key", "v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}"),
    _token("sentry token", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_-]{40,}"),
    _token("vault token", "hvs. hvb. hvr.", r"hv[bsr]\.[\w-]{20,}"),
    rule(
        "vault token",
        "",
        START + r"(?<!\.)(?P<secret>s\.[A-Za-z0-9]{24,})(?![\w.(])",
        _has_digit,
        finder=r"s\.(?=[a-z0-9]{24})",
    ),
    _token(
        "terraform token",
        ".atlasv1.",
        r"[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}",
        finder=r"[a-z0-9]{14}\.atlasv1\.",
    ),
    _token(
        "shopify token",
        "shpat_ shpca_ shppa_ shpss_ shptka_",
        r"shp(?:at|ca|pa|ss|tka)_[0-9a-fA-F]{32,}",
    ),
    _token("square token", "sq0atp- sq0csp- sq0idp-", r"sq0(?:atp|csp|idp)-[\w-]{22,}"),
    _token("square token", "", r"EAAA[A-Za-z][\w-]{55,}", finder=r"eaaa(?=[\w-]{56})"),
    _token("facebook token", "", r"EAA[A-Za-z0-9]{100,}", finder="eaa(?=[a-z0-9]{100})"),
    _token("age key", "age-secret-key-", r"AGE-SECRET-KEY-(?:PQ-)?1[0-9A-Z]{50,}"),
    _token("grafana token", "glsa_ glc_", r"glsa_\w{32,}|glc_[A-Za-z0-9+/=]{32,}"),
    _token("postman key", "pmak-", r"PMAK-[0-9a-f]{24}-[0-9a-f]{34,}"),
    _token("new relic key", "nrak- nraa-", r"NRA[AK]-[A-Z0-9]{27,}"),
    _token("databricks token", "dapi", r"dapi[0-9a-f]{32,}(?:-\d)?"),
    _token("doppler token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{40,}"),
    _token("linear key", "lin_api_", r"lin_api_[A-Za-z0-9]{36,}"),
    _token("notion token", "ntn_ secret_", r"ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43,}"),
    _token("atlassian token", "atatt3 atctt3 atbb", r"AT[AC]TT3[\w=-]{50,}|ATBB[A-Za-z0-9]{28,}"),
    _token(
        "airtable token", "", r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64,}", finder=r"pat(?=[a-z0-9]{14}\.)"
    ),
    _token(
        "hubspot token", "pat-", r"pat-(?:na|eu)\d-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12,}"
    ),
    _token("figma token", "figd_", r"figd_[\w-]{36,}"),
    _token("netlify token", "nfp_", r"nfp_[A-Za-z0-9]{36,}"),
    _token("tailscale key", "tskey-", r"tskey-[a-z]+-[A-Za-z0-9-]{16,}"),
    _token("pulumi token", "pul-", r"pul-[0-9a-f]{40,}"),
    _token("planetscale token", "pscale_", r"pscale_(?:tkn|oauth|pw)_[\w.=-]{32,}"),
    _token("supabase token", "sbp_ sb_secret_", r"sbp_[0-9a-f]{40,}|sb_secret_[\w-]{20,}"),
    _token("1password token", "ops_eyj", r"ops_eyJ[A-Za-z0-9+/=_-]{50,}"),
    _token(
        "fly token", "fm1r_ fm1a_ fm2_ fo1_", r"(?:fm1[ar]|fm2)_[A-Za-z0-9+/=]{40,}|fo1_[\w-]{40,}"
    ),
    _token("buildkite token", "bkua_", r"bkua_[0-9a-f]{40,}"),
    _token("circleci token", "ccipat_", r"CCIPAT_[A-Za-z0-9]{10,}_[0-9a-f]{40,}"),
    _token("sonar token", "sqp_ squ_ sqa_", r"sq[apu]_[0-9a-f]{40,}"),
    _token("artifactory token", "akc cmvmd", r"AKC[A-Za-z0-9]{60,}|cmVmd[A-Za-z0-9]{55,}"),
    _token("alibaba key id", "ltai", r"LTAI[A-Za-z0-9]{17,}", check=True),
    _token("dropbox token", "sl.", r"sl\.(?:u\.)?[\w-]{100,}"),
    _token("easypost key", "ezak ezt", r"EZ[AT]K[A-Za-z0-9]{54,}"),
    _token("json web token", "eyj", r"(?<!-)eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)*"),
    _token("encoded token", "zxlk", r"ZXlK[A-Za-z0-9+/=]{40,}"),
    _token(
        "encoded key",
        "ls0tls1crudjti",
        r"LS0tLS1CRUdJTi(?!BDRVJU|BQVUJM|BUUlVTV|BYNTA5|BORVcg)[A-Za-z0-9+/=]{16,}",
    ),
)
