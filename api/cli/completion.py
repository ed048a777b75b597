"""`rnx completion`: the script that makes the shell complete commands, kinds and names."""

import click
from click.shell_completion import ShellComplete, get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the shell's completion script.

    \b
    bash:  source <(rnx completion bash)
    zsh:   source <(rnx completion zsh)
    fish:  rnx completion fish | source
    """
    made_for = get_completion_class(shell)
    if made_for is None:
        raise click.UsageError(f"cannot complete for {shell}: use bash, zsh or fish")
    script = made_for(ctx.find_root().command, {}, "rnx", "_RNX_COMPLETE")
    # The base class: bash's own `source` starts a bash to look at its version, which a script need not do.
    click.echo(ShellComplete.source(script))
