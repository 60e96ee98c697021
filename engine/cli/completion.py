"""`halon completion`: the script by which a shell completes `halon …`, as click makes it."""

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash  halon completion bash > ~/.local/share/bash-completion/completions/halon
    zsh   halon completion zsh > a folder of $fpath, as _halon
    fish  halon completion fish > ~/.config/fish/completions/halon.fish
    """
    made = get_completion_class(shell)
    assert made is not None, "click knows these three"
    root = ctx.find_root().command
    # Not `source()`: it first runs the shell to learn its version.
    script = made(root, {}, "halon", "_HALON_COMPLETE")
    click.echo(script.source_template % script.source_vars())
