"""What builds are told of the host's configuration."""

from controller.runtime.build import host_config


def test_only_variables_about_indexes_proxies_and_certificates_are_passed(tmp_path):
    environ = {
        "HTTPS_PROXY": "http://proxy:3128", "no_proxy": "localhost", "PIP_INDEX_URL": "https://index/simple",
        "npm_config_registry": "https://npm/", "SSL_CERT_FILE": "/etc/ssl/x.pem", "GOPROXY": "https://go",
        "AWS_SECRET_ACCESS_KEY": "secret", "PATH": "/bin", "LD_PRELOAD": "/x.so", "npm_config_foo": "x", "HOME": "/x",
    }  # fmt: skip

    config = host_config.look(environ, home=tmp_path, base=tmp_path)

    assert sorted(config.environment) == [
        "GOPROXY", "HTTPS_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE", "no_proxy", "npm_config_registry",
    ]  # fmt: skip


def test_files_of_the_home_are_found_where_the_tools_inside_look(tmp_path):
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nindex-url = https://me:pass-word@index/simple\n")
    (tmp_path / ".npmrc").write_text(
        "registry=https://npm.example/\n@corp:registry = https://corp/\n//npm.example/:_authToken=npm-token-1\n"
        "email=me@example\nprefix=/home/me\nstrict-ssl=false\n"
    )
    (tmp_path / "etc/apt/auth.conf.d").mkdir(parents=True)
    (tmp_path / "etc/apt/auth.conf.d/x.conf").write_text("machine a login me password apt-secret\n")
    (tmp_path / "etc/resolv.conf").write_text("nameserver 10.0.0.1\n")

    config = host_config.look({"http_proxy": "http://me:pr%40xy@proxy:1"}, home=tmp_path, base=tmp_path)

    assert "pass-word" in config.files["/root/.config/pip/pip.conf"]
    assert config.files["/root/.npmrc"].splitlines() == [
        "registry=https://npm.example/",
        "@corp:registry = https://corp/",
        "//npm.example/:_authToken=npm-token-1",
        "strict-ssl=false",
    ]
    assert config.system_files == {"/etc/resolv.conf": "nameserver 10.0.0.1\n"}
    assert config.secrets == ("apt-secret", "npm-token-1", "pass-word", "pr%40xy", "pr@xy")


def test_a_host_without_any_is_fine(tmp_path):
    config = host_config.look({}, home=tmp_path, base=tmp_path)

    assert (config.environment, config.files, config.system_files, config.secrets) == ({}, {}, {}, ())


def test_the_configuration_that_apt_is_told_of_is_there_inside_and_its_secrets_are_known(tmp_path):
    (tmp_path / "srv/apt/auth.conf.d").mkdir(parents=True)
    (tmp_path / "srv/apt/auth.conf").write_text("machine a login me password first-secret\n")
    (tmp_path / "srv/apt/auth.conf.d/b.conf").write_text("machine b login me password second-secret\n")
    text = 'Dir::Etc "/srv/apt";\nAcquire::http::Proxy "http://me:third-secret@proxy:1";\n'
    (tmp_path / "srv/apt.conf").write_text(text)

    config = host_config.look({"APT_CONFIG": "/srv/apt.conf"}, home=tmp_path, base=tmp_path)

    assert config.environment == {"APT_CONFIG": "/srv/apt.conf"}
    assert config.files == {"/srv/apt.conf": text}
    assert config.secrets == ("first-secret", "second-secret", "third-secret")
